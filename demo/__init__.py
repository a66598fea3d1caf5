"""What `make demo` runs: the whole job, from stand-ins for AWS and Azure through Meltano into DuckDB."""
