"""Networks: one ``nn.Module`` per file, tensors in and tensors out."""
