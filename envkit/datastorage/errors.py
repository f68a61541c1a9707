"""The errors of the service.

DataStorageError
├── ConfigurationError      the settings are wrong; the text lists all faults
├── EventRefused            PostgreSQL can never store this event: do not retry
├── DatabaseUnavailable     PostgreSQL did not confirm the work; it can still do the work later
│   └── SchemaMissing       PostgreSQL answers, but the migrations are not applied
├── QueueUnavailable        Redis did not confirm the work
│   └── QueueFull           Redis answers, but the queue has reached its limit
└── Overloaded              this process has reached its limit of requests, or of bytes of requests
"""

from collections.abc import Sequence


class DataStorageError(Exception):
    """The base class of all errors that the service raises."""


class ConfigurationError(DataStorageError):
    """The settings are wrong; ``faults`` has one sentence for each fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("DataStorage cannot start with this configuration:\n" + "\n".join(f"  - {f}" for f in faults))


class EventRefused(DataStorageError):
    """PostgreSQL can never store the content of this event."""


class DatabaseUnavailable(DataStorageError):
    """PostgreSQL did not confirm the work: it failed, or did not answer in time."""


class SchemaMissing(DatabaseUnavailable):
    """PostgreSQL answers, but tables or columns that the service needs are missing."""


class QueueUnavailable(DataStorageError):
    """Redis did not confirm the work: it refused, or did not answer in time."""


class QueueFull(QueueUnavailable):
    """The dead-letter queue has reached its limit of entries or bytes."""


class Overloaded(DataStorageError):
    """This process has reached its limit of requests, or of bytes of requests."""
