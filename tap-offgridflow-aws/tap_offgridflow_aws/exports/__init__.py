"""Exports to S3: where they lie, what their manifests say, and what is in them."""
