"""Exports of Cost Management: where they lie, which runs are current, and what is in them."""
