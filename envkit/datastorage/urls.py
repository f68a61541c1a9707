"""URLs of PostgreSQL and Redis from their parts, every part quoted."""

from urllib.parse import quote


def postgres_url(*, host: str, port: object, user: str, password: str, database: str, sslmode: str) -> str:
    """A libpq URL; every part is quoted, so any password will do."""
    secret = f":{quote(password, safe='')}" if password else ""
    name = quote(database, safe="")
    return f"postgresql://{quote(user, safe='')}{secret}@{host}:{port}/{name}?sslmode={quote(sslmode, safe='')}"


def redis_url(*, address: str, password: str, number: object = 0) -> str:
    """A Redis URL; the password is quoted."""
    secret = f":{quote(password, safe='')}@" if password else ""
    return f"redis://{secret}{address}/{number}"
