"""Debian's documentation packages as a source, fetched with apt but without root, in a folder of their own."""

import difflib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.fingerprint import file_hash
from stages.core.params import params
from stages.core.progress import log
from stages.web.sources import sites
from stages.web.sources.source import Collected, Wanted

_RETRIES = 3  # of a download that fails for the network

# What `apt-get download --print-uris` prints for each package.
_URI = re.compile(r"'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})")


@params
class DebianDocs:
    """Packages of the Debian or Ubuntu release that this machine runs."""

    packages: tuple[str, ...]
    """Names of packages that hold HTML; apt fetches them without root."""


@dataclass(frozen=True)
class Package:
    """A package on this machine."""

    name: str
    version: str
    sha256: str
    """Of the .deb."""
    deb: Path


def collect(section: DebianDocs, wanted: Wanted) -> Collected:
    """The pages of the packages; each has the date at which its file was last changed."""
    area = shards.area("crawl-debian", "apt")
    packages = fetch(section.packages, area)
    # .invalid is reserved (RFC 2606): no one can take these for addresses that were fetched.
    found = {one.name: sites.Site(unpack(one, area), f"http://{_host(one.name)}.debian.invalid/") for one in packages}
    versions = [{"name": one.name, "version": one.version, "sha256": one.sha256} for one in packages]
    built, total = sites.build(found, wanted)
    return Collected(built, total, tuple(found), {"packages": versions})


def _host(package: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", package).strip("-")


def fetch(names: tuple[str, ...], area: Path) -> list[Package]:
    """The packages, downloaded where they are not in ``area`` already, checked against the archive's hashes.

    Raises:
        HeadwaterError: apt is missing, does not know a package, or cannot reach the archive.
    """
    for tool in ("apt-get", "apt-cache", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise HeadwaterError(
                f"{tool} is not installed: crawl.source debian-docs needs Debian or Ubuntu; "
                "set crawl.source to warc or folder"
            )
    for name in names:
        if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name):
            raise HeadwaterError(f"params.yaml: crawl.debian_docs.packages: {name!r} is no name of a package")
    for folder in ("lists/partial", "cache/archives/partial", "debs"):
        (area / folder).mkdir(parents=True, exist_ok=True)
    (area / "status").touch()  # as on a machine without packages: none counts as installed
    updated = _apt(area, "apt-get", "update", "-qq")
    if updated.returncode:
        log(f"apt could not update its lists: {_last_line(updated.stderr)}; going on with those of the last time")
    # All in one question: apt reads its lists for each, which takes longer than everything else here.
    printed = _apt(area, "apt-get", "download", "--print-uris", *names)
    found = {one["file"].partition("_")[0]: one for one in _URI.finditer(printed.stdout)}
    if not found.keys() >= set(names):
        raise HeadwaterError(_missing(names, area, printed.stderr))
    return [_package(name, found[name], area) for name in names]


def unpack(package: Package, area: Path) -> Path:
    """The folder with a package's files, unpacked where it is not yet."""
    folder = area / "unpacked" / f"{package.name}-{package.sha256[:16]}"
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
        done = subprocess.run(["dpkg-deb", "-x", package.deb, partial], capture_output=True, text=True)
        if done.returncode:
            shutil.rmtree(partial)
            raise HeadwaterError(f"{package.deb}: could not be unpacked: {_last_line(done.stderr)}")
        partial.rename(folder)
    return folder


def _package(name: str, found: re.Match[str], area: Path) -> Package:
    deb = area / "debs" / found["file"]
    if not deb.exists() or file_hash(deb) != found["sha256"]:
        log(f"downloading {found['uri']} ({int(found['size']) / 1e6:.1f} MB)")
        # Into a folder of its own, so that a download that is cut off never has the name of a whole one.
        with tempfile.TemporaryDirectory(dir=deb.parent) as folder:
            done = _apt(area, "apt-get", "download", "-qq", name, cwd=Path(folder))
            got = next(Path(folder).glob("*.deb"), None)
            if done.returncode or got is None or file_hash(got) != found["sha256"]:
                raise HeadwaterError(f"apt could not download {name}: {_last_line(done.stderr)}; check the network")
            got.replace(deb)
    version = subprocess.run(["dpkg-deb", "-f", deb, "Version"], capture_output=True, text=True, check=True)
    return Package(name, version.stdout.strip(), found["sha256"], deb)


def _missing(names: tuple[str, ...], area: Path, stderr: str) -> str:
    """Why apt named no address; of several packages it names none where it does not know one."""
    known = set(_apt(area, "apt-cache", "pkgnames").stdout.split())
    if not known:
        return f"apt has no package lists and could not fetch any ({_last_line(stderr)}); check the network"
    unknown = [name for name in names if name not in known]
    if not unknown:
        return f"apt names no address of {', '.join(names)}: {_last_line(stderr)}"
    name = unknown[0]
    nearest = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    return f"apt knows no package {name} (crawl.debian_docs.packages in params.yaml){hint}"


def _apt(area: Path, tool: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    area = area.resolve()
    options = {
        "Dir::State": area,
        "Dir::State::lists": area / "lists",
        "Dir::State::status": area / "status",
        "Dir::Cache": area / "cache",
        "APT::Sandbox::User": "root",  # else apt, run by root, drops to a user who cannot read this folder
        "Acquire::Retries": _RETRIES,
    }
    flags = [flag for key, value in options.items() for flag in ("-o", f"{key}={value}")]
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run([tool, *flags, *arguments], capture_output=True, text=True, cwd=cwd, env=environment)


def _last_line(stderr: str) -> str:
    """The last thing that a tool complained of."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1] if lines else "it gave no reason"
