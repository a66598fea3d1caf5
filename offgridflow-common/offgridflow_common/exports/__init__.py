"""Columnar reading of delivered exports: both clouds, and local files."""
