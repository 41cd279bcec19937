"""PostgreSQL: connections, roles, migrations."""
