"""What `make demo` runs: the whole job, from stand-ins for AWS through Meltano into DuckDB."""
