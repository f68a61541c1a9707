"""One JSON object a line on standard output: what container engines collect and `jq` reads."""

import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from pydantic_core import to_json

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonFormatter(logging.Formatter):
    """time, level, logger, message, and every ``extra`` under its own name."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
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
    """Sends every logger of the process to ``stream`` as JSON lines; libraries' chatter from WARNING on."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level="WARNING", handlers=[handler], force=True)
    logging.getLogger("envkit.datastorage").setLevel(level)
    logging.getLogger("psycopg.pool").setLevel("ERROR")  # it repeats every failed attempt; ours say it once
