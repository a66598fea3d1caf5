"""A long life of one customer of AWS: what is true, what the tap did, and what the views must show."""
