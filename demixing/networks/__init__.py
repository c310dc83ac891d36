"""Networks, one per file, from tensors to tensors, and the signal processing around them."""
