"""What Azure's interfaces answer, and how it becomes columns."""
