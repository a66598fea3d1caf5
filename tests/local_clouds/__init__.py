"""Stand-ins for the clouds, used by the tests and the demo."""
