"""Our use of PostgreSQL, Valkey, HTTP, clocks and processes."""
