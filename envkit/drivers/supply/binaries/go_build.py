"""Compiles Kubernetes from Debian's source package with Debian's Go compiler: the last source to try on Debian.

It downloads and unpacks the compiler and the source, installs nothing and does not need root's rights. The build takes
about three minutes on two idle cores, and 2 GB in the cache while it runs. The next build after an interrupted one
uses the packages that are already compiled. If `ENVKIT_BUILD_CACHE` names a folder, the compiled packages stay there
for the next build of the same source; `./dev` and tests/host share that folder.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

from envkit.base.commands import CommandFailed, run
from envkit.base.errors import EnvironmentFailed
from envkit.base.owned import own_folder
from envkit.drivers.supply.binaries.apt import Apt
from envkit.drivers.supply.binaries.models import Rejected, Version
from envkit.drivers.supply.binaries.sources import Job
from envkit.drivers.supply.binaries.store import Made
from envkit.drivers.supply.binaries.validate import must_suit

KNOWN = Version((1, 20, 2))
"""The version in Debian 11 to 13; the steps below work for this version only."""

GO = "1.19"
"""The newest Go version in Debian 12 that compiles this Kubernetes."""

PACKAGES = (f"golang-{GO}-go", f"golang-{GO}-src", "golang-github-modern-go-reflect2-dev")

SECONDS = 2100.0
"""Time limit for the compilation: it takes 3 minutes on two idle cores, and ten times as long on busy cores."""

_ROOT = "k8s.io/kubernetes"
_OPENAPI = f"{_ROOT}/pkg/generated/openapi"
_NO_OPENAPI = ("code-generator", "sample-apiserver", "sample-controller", "sample-cli-plugin")


class FromSource:
    """Compiles Debian's source package `kubernetes`."""

    source = "built from Debian's source package"

    def key(self, job: Job) -> str:
        """Return the key of the programs in envkit's cache.

        Raises `Rejected` if another version is requested, if this host does not run Linux, or if one of apt's tools is
        missing.
        """
        must_suit(job.wanted, KNOWN, "the package")
        if job.host.os != "linux":
            raise Rejected("works only on Debian and systems derived from it")
        missing = Apt(job).missing()
        if missing:
            raise Rejected(f"this system has no {missing}")
        return f"debian-source-{KNOWN}{job.suffix}"

    def fetch(self, job: Job, folder: Path) -> Made:
        """Report the long wait, fetch the compiler and the source, and compile the programs into the folder."""
        job.report(f"no other source has Kubernetes: building {KNOWN} from Debian's source package, "
                   "which takes about 3 minutes, once")  # fmt: skip
        tree = _Tree(job)
        tree.prepare()
        tree.compile(folder)
        shutil.rmtree(job.work, ignore_errors=True)
        return Made({program: program for program in job.programs})


class _Tree:
    """The folder of the build: the source in `gopath/src/k8s.io/kubernetes`, the unpacked compiler and its cache."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._work = job.work
        self._source = job.work / "gopath" / "src" / _ROOT
        self._tools = job.work / "tools"
        self._goroot = self._tools / "usr" / "lib" / f"go-{GO}"

    def prepare(self) -> None:
        """Fetch, unpack and patch the source. It does nothing if an earlier run completed these steps."""
        prepared = self._work / "prepared"
        if prepared.exists():
            return
        apt = Apt(self._job, sources=True)
        apt.update()
        archive = apt.source("kubernetes", KNOWN, self._work / "download")
        shutil.rmtree(self._tools, ignore_errors=True)
        apt.unpack_alone(PACKAGES, self._tools)
        self._unpack(archive)
        self._replace_reflect2()
        self._generate_openapi()
        shutil.rmtree(archive.parent)
        prepared.touch()

    def compile(self, folder: Path) -> None:
        """Compile all programs with one command, so that Go compiles shared packages once."""
        commands = [f"./cmd/{program}" for program in self._job.programs]
        total = len(self._go("list", "-deps", *commands, seconds=120.0).split())
        self._go("build", "-v", "-trimpath", "-ldflags", version_flags(KNOWN), "-o", f"{folder}/", *commands,
                 seconds=SECONDS, counting=total)  # fmt: skip

    def _unpack(self, archive: Path) -> None:
        self._job.report("unpacking the source")
        shutil.rmtree(self._source, ignore_errors=True)
        self._source.mkdir(parents=True)
        with tarfile.open(archive) as bundle:
            if hasattr(tarfile, "tar_filter"):  # since Python 3.11.4; the signed lists have the archive's digest
                bundle.extraction_filter = tarfile.tar_filter
            bundle.extractall(self._source, members=_without_first(bundle))  # noqa: S202  filtered, and checked against the signed lists

    def _replace_reflect2(self) -> None:
        """Replace the vendored reflect2 1.0.1 with Debian's 1.0.2: Go 1.18 changed maps, and 1.0.1 panics with it."""
        name = "github.com/modern-go/reflect2"
        vendored = self._source / "vendor" / name
        packaged = self._tools / "usr" / "share" / "gocode" / "src" / name
        for path in vendored.iterdir():
            if path.is_file():
                path.unlink()
        for path in packaged.iterdir():
            if path.suffix in (".go", ".s") and not path.name.endswith("_test.go"):
                shutil.copy(path, vendored)

    def _generate_openapi(self) -> None:
        """Generate the API server's OpenAPI definitions, as upstream's makefile does: the source archive lacks them."""
        self._job.report("generating the OpenAPI definitions")
        generator = self._work / "openapi-gen"
        self._go("build", "-o", str(generator), "./vendor/k8s.io/kube-openapi/cmd/openapi-gen", seconds=600.0)
        self._run(
            str(generator), "--logtostderr", "--input-dirs", ",".join(openapi_packages(self._source)),
            "--output-package", _OPENAPI, "--output-file-base", "zz_generated.openapi",
            "--go-header-file", "hack/boilerplate/boilerplate.generatego.txt",
            "--report-filename", str(self._work / "openapi.report"), seconds=600.0,
        )  # fmt: skip

    def _go(self, *words: str, seconds: float, counting: int = 0) -> str:
        return self._run(str(self._goroot / "bin" / "go"), *words, seconds=seconds, counting=counting)

    def _run(self, *argv: str, seconds: float, counting: int = 0) -> str:
        count = 0

        def on_line(_line: str) -> None:
            nonlocal count
            count += 1
            self._job.report(f"compiled {min(count, counting)} of {counting} packages")

        try:
            done = run(argv, seconds=seconds, env=self._environ(), cwd=str(self._source), cancel=self._job.cancel,
                       on_line=on_line if counting else None)  # fmt: skip
        except CommandFailed as error:
            tail = " / ".join(error.output.strip().splitlines()[-3:])
            raise Rejected(f"{Path(argv[0]).name} {argv[1]} ended with {error.code}: {tail[-400:]}") from error
        except EnvironmentFailed as error:
            raise Rejected(error.message) from error
        return done.output

    def _environ(self) -> dict[str, str]:
        """Return the variables for Go; they omit the user's Go settings, and disable cgo and module downloads."""
        shared = self._job.environ.get("ENVKIT_BUILD_CACHE")
        compiled = own_folder(Path(shared).absolute(), 0o700) if shared else self._work / "gocache"
        kept = {name: value for name, value in self._job.environ.items() if not name.startswith(("GO", "CGO_"))}
        return {
            **kept, "GOROOT": str(self._goroot), "GOPATH": str(self._work / "gopath"),
            "GOCACHE": str(compiled), "GO111MODULE": "off", "CGO_ENABLED": "0",
            "PATH": f"{self._goroot / 'bin'}:{self._job.environ.get('PATH', '')}",
            "HOME": str(self._work), "GOTMPDIR": "",
        }  # fmt: skip


def _without_first(bundle: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the archive's members with the common first folder removed from their names."""
    for member in bundle:
        _, _, member.name = member.name.partition("/")
        if member.islnk():
            _, _, member.linkname = member.linkname.partition("/")
        if member.name:
            yield member


def openapi_packages(source: Path) -> list[str]:
    """Return the import paths of the Go packages that contain the marker `+k8s:openapi-gen=`."""
    found = set()
    for top in ("pkg", "staging/src/k8s.io"):
        for path in (source / top).rglob("*.go"):
            if not any(part in _NO_OPENAPI for part in path.parts) and b"+k8s:openapi-gen=" in path.read_bytes():
                found.add(path.parent.relative_to(source).as_posix())
    return sorted(_import_path(folder) for folder in found)


def _import_path(folder: str) -> str:
    staged = folder.removeprefix("staging/src/")
    return f"{_ROOT}/vendor/{staged}" if staged != folder else f"{_ROOT}/{folder}"


def version_flags(version: Version) -> str:
    """Return the linker flags that set the version in the programs.

    Without them the API server reports version v0.0.0, and clients refuse it.
    """
    major, minor = version.parts[:2]
    facts = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = [
        f"{prefix}{package}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for prefix in ("", f"{_ROOT}/vendor/")
    ]
    return " ".join(["-s -w", *(f"-X {package}.{key}={value}" for package in packages for key, value in facts.items())])
