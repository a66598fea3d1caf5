"""From what AWS reports to activities: pure functions, columns in and columns out."""
