"""Singer target for DuckDB and MotherDuck."""
