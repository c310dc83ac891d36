"""Songs with known stems: finding, reading, checking and corrupting them."""
