"""Networks, one per file, tensors in and tensors out; and the signal processing around them."""
