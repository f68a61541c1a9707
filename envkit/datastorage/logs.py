"""Writes logs to standard output as one JSON object per line, for container engines and `jq`."""

import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from pydantic_core import to_json

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object with time, level, logger, message and each ``extra`` field."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return to_json(line, fallback=str, inf_nan_mode="strings").decode()


def configure(level: str, stream: TextIO | None = None) -> None:
    """Write the service's logs from ``level`` on, and libraries' logs from WARNING on, to ``stream`` as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level="WARNING", handlers=[handler], force=True)
    logging.getLogger("envkit.datastorage").setLevel(level)
    logging.getLogger("psycopg.pool").setLevel("ERROR")  # psycopg.pool repeats each failure; the service logs it once
