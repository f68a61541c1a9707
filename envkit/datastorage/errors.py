"""What can go wrong in the service.

DataStorageError
├── ConfigurationError      the settings are wrong: every fault, with what was expected
├── EventRefused            PostgreSQL will never take this event: writing it again cannot help
├── DatabaseUnavailable     PostgreSQL did not take the work now; whether it will is not known
│   └── SchemaMissing       it answers, but the migrations are not there
├── QueueUnavailable        Redis did not take the work now
│   └── QueueFull           it answers, but the queue has reached its bound
└── Overloaded              this process has all the work it may hold
"""

from collections.abc import Sequence


class DataStorageError(Exception):
    """Root of everything the service raises itself."""


class ConfigurationError(DataStorageError):
    """The settings are wrong; ``faults`` holds one sentence for each fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("DataStorage cannot start with this configuration:\n" + "\n".join(f"  - {f}" for f in faults))


class EventRefused(DataStorageError):
    """PostgreSQL refuses the event's content, now and later."""


class DatabaseUnavailable(DataStorageError):
    """PostgreSQL did not confirm the work in time."""


class SchemaMissing(DatabaseUnavailable):
    """PostgreSQL answers, but the tables or columns that the service needs are not there."""


class QueueUnavailable(DataStorageError):
    """Redis did not confirm the work in time."""


class QueueFull(QueueUnavailable):
    """The dead-letter queue has reached its bound in entries or bytes."""


class Overloaded(DataStorageError):
    """More requests, or more bytes of requests, than this process may hold at once."""
