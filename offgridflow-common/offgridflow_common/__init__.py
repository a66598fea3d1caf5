"""What the OffGridFlow taps share."""
