"""Small clients of PostgreSQL and Redis over TCP from the host, migrations, and copies of a database."""
