"""Programs for developers that make data and tables; separation does not need them."""
