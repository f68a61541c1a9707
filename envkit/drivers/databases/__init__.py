"""PostgreSQL and Redis over TCP from the host: clients for probes, migrations, copies of a database."""
