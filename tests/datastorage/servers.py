"""Real servers as child processes. Tests can stop, pause, kill and restart them."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import redis

from .binaries import NOBODY, Binaries

PASSWORD = "test_password"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for(ready: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Wait until ``ready`` returns a true value; after an exception, try again. Raises AssertionError."""
    deadline, seen = time.monotonic() + seconds, "nothing"
    while time.monotonic() < deadline:
        try:
            if value := ready():
                return
            seen = repr(value)
        except Exception as exc:  # noqa: BLE001  any error means: not ready yet
            seen = repr(exc)
        time.sleep(0.02)
    raise AssertionError(f"expected {what} within {seconds} s; last seen: {seen}")


class Server:
    """A child process with its own port, which stays the same after a restart."""

    supply: str

    def __init__(self, binaries: Binaries, folder: Path) -> None:
        self._environment = binaries.environment(self.supply)
        self._binaries = binaries
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._user = NOBODY if os.geteuid() == 0 else None
        self.port = free_port()
        folder.mkdir()
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)

    def argv(self) -> list[str]:
        raise NotImplementedError

    def ready(self) -> object:
        raise NotImplementedError

    def start(self) -> None:
        if self._process is None:
            with (self._folder.parent / f"{self._folder.name}.log").open("ab") as log:
                self._process = subprocess.Popen(
                    self.argv(),
                    env=self._environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    user=self._user,
                    group=self._user,
                )
            wait_for(self.ready, f"{self._folder.name} to answer")

    def stop(self) -> None:
        """Stop the server with a signal and wait for its end."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Send SIGKILL to the server and all its children."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self.resume()
            self._signal(number) if number == signal.SIGKILL else self._process.send_signal(number)
            self._process.wait(20)
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        parent = psutil.Process(self._process.pid)
        for process in [parent, *parent.children(recursive=True)]:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue


class Postgres(Server):
    """PostgreSQL over TCP. fsync is off, which loses data only if the machine crashes, not if a process is killed."""

    supply = "postgres"

    def __init__(self, binaries: Binaries, folder: Path) -> None:
        super().__init__(binaries, folder)
        self.data = folder / "data"
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        argv = [str(binaries.postgres / "initdb"), "-D", str(self.data), "-U", "slm_user", "-A", "scram-sha-256"]
        argv += ["--pwfile", str(secret), "-E", "UTF8", "--no-locale", "--no-sync"]
        subprocess.run(
            argv,
            env=self._environment,
            check=True,
            timeout=60,
            user=self._user,
            group=self._user,
            stdout=subprocess.DEVNULL,
        )

    def argv(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": "60",
            "shared_buffers": "64MB",
            "max_wal_size": "2GB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._binaries.postgres / "postgres"), "-D", str(self.data), *options]

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://slm_user:{PASSWORD}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def ready(self) -> object:
        return self.execute("SELECT 1")

    def execute(self, statement: str, *values: object, database: str = "postgres") -> list[tuple[object, ...]]:
        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=2) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []


class Redis(Server):
    """Redis without persistence, as envkit's preset starts it."""

    supply = "redis"

    def argv(self) -> list[str]:
        argv = [str(self._binaries.redis), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        return [*argv, "--appendonly", "no", "--dir", str(self._folder), "--maxmemory-policy", "allkeys-lru"]

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.url, socket_timeout=2, decode_responses=True)

    def ready(self) -> object:
        with self.client() as client:
            return client.ping()


def remove(folder: Path) -> None:
    """Remove a folder, with files of other users in it."""
    shutil.rmtree(folder, ignore_errors=True)
