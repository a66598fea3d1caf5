"""Cost details reports: made on request, and read like exports."""
