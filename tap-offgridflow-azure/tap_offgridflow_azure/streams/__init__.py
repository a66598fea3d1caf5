"""The streams of the Azure tap."""
