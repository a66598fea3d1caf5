"""Singer tap for AWS carbon, water, cost and usage."""
