"""From what Azure reports to activities: pure functions, columns in and columns out."""
