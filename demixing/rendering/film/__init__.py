"""Film sound: whose recordings it is made of, and how a clip is drawn from them."""
