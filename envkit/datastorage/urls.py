"""Builds URLs of PostgreSQL and Redis from their parts."""

from urllib.parse import quote


def postgres_url(*, host: str, port: object, user: str, password: str, database: str, sslmode: str) -> str:
    """Return a libpq URL. The function quotes user, password and database, so they can have any characters."""
    secret = f":{quote(password, safe='')}" if password else ""
    name = quote(database, safe="")
    return f"postgresql://{quote(user, safe='')}{secret}@{host}:{port}/{name}?sslmode={quote(sslmode, safe='')}"


def redis_url(*, address: str, password: str, number: object = 0) -> str:
    """Return a Redis URL with the password quoted. ``number`` is the number of the database."""
    secret = f":{quote(password, safe='')}@" if password else ""
    return f"redis://{secret}{address}/{number}"
