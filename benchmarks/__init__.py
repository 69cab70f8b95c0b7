"""Numbers the product holds itself to, measured on demand (`make bench`), never asserted."""
