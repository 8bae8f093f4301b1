"""Where a source's files are: in incoming/crawl, elsewhere on this machine, or behind URLs."""

import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import fsspec

from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.progress import log
from stages.web.sources import intake
from stages.web.sources.addresses import networks
from stages.web.sources.download import Web
from stages.web.sources.source import Wanted


def locate(section: str, paths: Sequence[str], names: re.Pattern[str], wanted: Wanted) -> dict[Path, bool]:
    """The files that ``paths`` name, in order, each once, and whether each is a copy in the work area.

    Args:
        section: Of crawl in params.yaml, for errors.
        paths: Files, folders and globs, absolute or relative to incoming/crawl, and URLs that fsspec understands.
        names: How the files of a folder must be named.

    Raises:
        HeadwaterError: a path names nothing, or cannot be read.
    """
    found: dict[Path, bool] = {}
    web = Web(networks(wanted.allow_private))
    for path in paths:
        remote = "://" in path
        try:
            here = _fetched(path, web) if remote else _local(path, wanted.incoming, names, section)
        except ValueError as error:
            raise HeadwaterError(f"crawl.{section}.paths: {path!r} is no path or glob: {error}") from None
        if not here and path not in (".", "**"):
            raise HeadwaterError(f"crawl.{section}.paths: nothing at {path} (looked in {wanted.incoming.resolve()})")
        if remote or not all(one.resolve().is_relative_to(wanted.incoming.resolve()) for one in here):
            log(f"{path} lies outside {wanted.incoming}: DVC does not watch it; `dvc repro -f crawl` looks again")
        found.update(dict.fromkeys(here, remote))
    return found


def _local(path: str, incoming: Path, names: re.Pattern[str], section: str) -> list[Path]:
    """The files that a path or glob names, and those in the folders that it names that are named so."""
    root, pattern = (Path("/"), path.lstrip("/")) if path.startswith("/") else (incoming, path)
    # A `**` at the end stands for folders; since Python 3.13 it would for files too, however they are named.
    folders = "/" if pattern.endswith("**") else ""
    matches = [root / pattern] if (root / pattern).exists() else sorted(root.glob(pattern + folders))
    found: list[Path] = []
    for match in matches:
        if match.is_dir():
            if links := [link for link in leading_out(match) if link.is_dir()]:
                log(
                    f"links to folders are not followed ({len(links):,}), such as {links[0]}: "
                    f"name what is to be read in crawl.{section}.paths"
                )
            inside = [Path(at, name) for at, _, files in os.walk(match, onerror=refuse) for name in files]
            found += [one for one in sorted(inside) if one.is_file() and names.fullmatch(one.name)]
        elif match.name != "README.md":
            found.append(match)
    return list(dict.fromkeys(found))


def leading_out(folder: Path) -> list[Path]:
    """The links below a folder to what is not below it, sorted; ``os.walk`` passes over those to folders."""
    root = folder.resolve()
    below = (Path(at, name) for at, folders, files in os.walk(folder, onerror=refuse) for name in (*folders, *files))
    links = (path for path in below if path.is_symlink() and path.exists())
    return sorted(link for link in links if not link.resolve().is_relative_to(root))


def refuse(error: OSError) -> None:
    """For ``os.walk``, which passes over a folder that it may not read: its files would be missing without a word."""
    raise error


def _fetched(url: str, web: Web) -> list[Path]:
    """Copies in the work area of the files behind a URL; one that is there and has not changed is not copied again.

    Raises:
        HeadwaterError: it names nothing, or cannot be read.
    """
    if url.startswith(("http://", "https://")):
        return [web.file(url)]
    try:
        system, _, names = fsspec.get_fs_token_paths(url)
        return [_copied(system, name) for name in sorted(names)]
    except ImportError as error:
        raise HeadwaterError(f"{url}: fsspec needs another package for this: {error}") from None
    except (OSError, ValueError) as error:
        raise HeadwaterError(f"{url}: could not be read: {error}") from None


def _copied(system: fsspec.AbstractFileSystem, name: str) -> Path:
    key = hashlib.blake2b(f"{system.unstrip_protocol(name)}\0{system.ukey(name)}".encode(), digest_size=16).hexdigest()
    target = shards.area("crawl-downloads", key) / intake.safe(name.rpartition("/")[2])
    if not target.exists():
        partial = target.with_name("partial")
        with system.open(name, "rb") as source, partial.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
        shards.replace(partial, target)
    return target
