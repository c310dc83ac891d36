"""Film sound: its recordings, and how clips are drawn from them."""
