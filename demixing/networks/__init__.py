"""Networks: one ``nn.Module`` per file, tensors in and tensors out, and the register of weights."""
