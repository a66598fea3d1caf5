"""Singer tap for what Azure reports about carbon, cost and usage."""
