"""How Azure is asked: its clouds, tokens, limits and errors."""
