"""Files of weights: registered, fetched, verified, and read without running anything in them."""
