"""Programs for developers, which make data and tables; separation does not need them."""
