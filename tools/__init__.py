"""Programs for developers: they make material and tables; nothing that separates needs them."""
