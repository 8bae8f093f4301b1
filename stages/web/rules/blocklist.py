"""Pages refused by their URL: datatrove's lists of 4.6 million hosts and of words, and the user's own hosts.

The hosts are kept as a sorted array of 64-bit hashes (37 MB, made once in 2 s): a shard maps the file and looks hosts
up in it, where datatrove's URLFilter has a set of strings of 700 MB. The chance that any of a billion hosts is refused
for another's hash is 1 in 4,000.
"""

import re
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from stages.core.params import params
from stages.web.rules.rule import AtMost


@params
class Urls:
    """Which URLs are refused."""

    blocklists: bool
    """Refuse the hosts, URLs and words of datatrove's lists (adult and harmful sites)."""
    max_soft_words: int
    """Words in a URL that are suspect together, at most; used with the lists."""
    hosts: list[str]
    """Hosts to refuse, with all below them."""


_BLOCK = 1 << 24  # bytes of the lists in memory at a time
_NOT_WORD = re.compile(r"[^a-zA-Z0-9]+")
_HOST = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/?#@]*@)?(\[[^\]/]*\]|[^/:?#]*)")


def archive() -> Path:
    """datatrove's archive of listed hosts and URLs, as installed."""
    return Path(str(resources.files("datatrove"))) / "assets" / "url_filterblacklistsv0_3_0.tar.gz"


def prepare(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> dict[str, Any]:
    """Write the sorted hashes of all hosts and URLs of the archive as an array; a unit of work of the stage."""
    hashes: list[npt.NDArray[np.uint64]] = []
    with tarfile.open(inputs[0], "r:gz") as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None, f"{inputs[0]}: {member.name} is no file"
            rest = b""
            while block := content.read(_BLOCK):
                *lines, rest = (rest + block).split(b"\n")
                hashes.append(_hashes(lines))
            hashes.append(_hashes([rest]))
    array = np.sort(np.concatenate(hashes))
    np.save(outputs["hosts"], array)
    return {"in": len(array)}


def _hashes(lines: list[bytes]) -> npt.NDArray[np.uint64]:
    names = [line.strip() for line in lines if line and not line.startswith(b"#")]
    return np.fromiter(map(xxhash.xxh3_64_intdigest, names), np.uint64, len(names))


RULES = (
    AtMost("url_listed", "url_listed", lambda _: 0),
    AtMost("url_words", "url_words", lambda _: 0),
    AtMost("url_soft_words", "url_soft_words", lambda limits: limits.urls.max_soft_words),
)


class Blocklist:
    """Scores URLs by the lists.

    Args:
        listed: The array made by :func:`prepare`.
    """

    def __init__(self, listed: Path) -> None:
        self._listed: npt.NDArray[np.uint64] = np.load(listed, mmap_mode="r")
        self._words = _assets("banned_words.txt")
        self._soft = _assets("soft_banned_words.txt")
        self._within = re.compile("|".join(map(re.escape, sorted(_assets("banned_subwords.txt")))))

    def scores(self, url: str) -> dict[str, float]:
        """Whether ``url`` or its host is listed (0 or 1), whether a listed word is in it, and how many suspect ones."""
        above = _above(url)
        words = set(_NOT_WORD.split(url))
        within = self._within.search(_NOT_WORD.sub("", url).lower())
        return {
            # datatrove looks up the host and the domain registered above it; what lies between is included here.
            "url_listed": any(map(self._is_listed, [url, *above[: max(1, len(above) - 1)]])),
            "url_words": not self._words.isdisjoint(words) or within is not None,
            "url_soft_words": len(self._soft & words),
        }

    def _is_listed(self, name: str) -> bool:
        key = np.uint64(xxhash.xxh3_64_intdigest(name.encode()))
        position = int(np.searchsorted(self._listed, key))
        return position < len(self._listed) and bool(self._listed[position] == key)


class Hosts:
    """The hosts that the user refuses."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._hosts = {host.lower().strip(".") for host in hosts}

    def have(self, url: str) -> bool:
        """Whether ``url`` is on one of the hosts or below it."""
        return not self._hosts.isdisjoint(_above(url))


def _above(url: str) -> list[str]:
    """The host of ``url`` and every name above it."""
    host = _HOST.match(url)
    labels = host[1].lower().strip(".").split(".") if host else []
    return [".".join(labels[first:]) for first in range(len(labels))]


def _assets(name: str) -> frozenset[str]:
    lines = (resources.files("datatrove") / "assets" / name).read_text("utf-8").splitlines()
    return frozenset(_NOT_WORD.sub("", line).lower() for line in lines if line and not line.startswith("#"))
