"""Pages refused by their URL: datatrove's lists of 4.6 million hosts and of words, and the user's own hosts.

The hosts are kept as a sorted array of 64-bit hashes (37 MB, made once in 2 s): a shard maps the file and looks hosts
up in it, where datatrove's URLFilter has a set of strings of 700 MB. The chance that any of a billion hosts is refused
for another's hash is 1 in 4,000.
"""

import re
import tarfile
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash

from stages.core.params import params


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


def prepare(source: Path, target: Path) -> int:
    """Write the sorted hashes of all hosts and URLs of the archive ``source`` as an array; returns how many."""
    hashes: list[npt.NDArray[np.uint64]] = []
    with tarfile.open(source, "r:gz") as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None, f"{source}: {member.name} is no file"
            rest = b""
            while block := content.read(_BLOCK):
                *lines, rest = (rest + block).split(b"\n")
                hashes.append(_hashes(lines))
            hashes.append(_hashes([rest]))
    array = np.sort(np.concatenate(hashes))
    np.save(target, array)
    return len(array)


def _hashes(lines: list[bytes]) -> npt.NDArray[np.uint64]:
    names = [line.strip() for line in lines if line and not line.startswith(b"#")]
    return np.fromiter(map(xxhash.xxh3_64_intdigest, names), np.uint64, len(names))


class Blocklist:
    """Judges URLs.

    Args:
        rules: What is refused.
        listed: The array made by :func:`prepare`; not read where the lists are not wanted.
    """

    def __init__(self, rules: Urls, listed: Path | None) -> None:
        self._rules = rules
        self._hosts = {host.lower().strip(".") for host in rules.hosts}
        self._listed: npt.NDArray[np.uint64] | None = np.load(listed, mmap_mode="r") if listed else None
        if listed:
            self._words = _assets("banned_words.txt")
            self._soft = _assets("soft_banned_words.txt")
            self._within = re.compile("|".join(map(re.escape, sorted(_assets("banned_subwords.txt")))))

    def reason(self, url: str) -> str | None:
        """Why a page at ``url`` is refused, or None."""
        host = _HOST.match(url)
        labels = host[1].lower().strip(".").split(".") if host else []
        above = [".".join(labels[first:]) for first in range(len(labels))]
        if not self._hosts.isdisjoint(above):
            return "url_host"
        if self._listed is None:
            return None
        # datatrove looks up the host and the domain registered above it; what lies between is included here.
        if any(map(self._is_listed, [url, *above[: max(1, len(above) - 1)]])):
            return "url_listed"
        words = set(_NOT_WORD.split(url))
        if not self._words.isdisjoint(words) or self._within.search(_NOT_WORD.sub("", url).lower()):
            return "url_words"
        if len(self._soft & words) > self._rules.max_soft_words:
            return "url_soft_words"
        return None

    def _is_listed(self, name: str) -> bool:
        assert self._listed is not None
        key = np.uint64(xxhash.xxh3_64_intdigest(name.encode()))
        position = int(np.searchsorted(self._listed, key))
        return position < len(self._listed) and self._listed[position] == key


def _assets(name: str) -> frozenset[str]:
    lines = (resources.files("datatrove") / "assets" / name).read_text("utf-8").splitlines()
    return frozenset(_NOT_WORD.sub("", line).lower() for line in lines if line and not line.startswith("#"))
