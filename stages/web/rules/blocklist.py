"""Pages refused by their URL: datatrove's lists of 4.6 million hosts and of words, and the user's own hosts.

The hosts are kept as a sorted array of 64-bit hashes (37 MB, made once in a second): a shard maps the file and looks
hosts up in it, where datatrove's URLFilter has a set of strings of 700 MB. The chance that any of a billion hosts is
refused for another's hash is 1 in 4,000.
"""

import re
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from isal import igzip
from pydantic import NonNegativeInt, field_validator

from stages.core import arrays
from stages.core.params import params
from stages.core.takedown import in_ascii
from stages.web.rules.rule import AtMost


@params
class Urls:
    """Which URLs are refused."""

    blocklists: bool
    """Refuse the hosts, URLs and words of datatrove's lists (adult and harmful sites)."""
    max_soft_words: NonNegativeInt
    """Words in a URL that are suspect together, at most; used with the lists."""
    hosts: list[str]
    """Hosts to refuse, with all below them."""

    @field_validator("hosts")
    @classmethod
    def _are_hosts(cls, hosts: list[str]) -> list[str]:
        for host in hosts:
            if not _NAMED.fullmatch(host):
                raise ValueError(f"must be hosts such as example.org, which stands for all below it too, not {host!r}")
        return hosts


Hashes = npt.NDArray[np.uint64]

_BLOCK = 1 << 20  # bytes of the lists in memory at a time
_WORD = 8  # bytes that are hashed at a time
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(_WORD + 1)], np.uint64)
_FACTOR, _SECOND_FACTOR = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_NOT_WORD = re.compile(r"[^a-zA-Z0-9]+")
_NAMED = re.compile(r"\.?[^\s/:*?#@\[\]]+|\[[^\]/]+\]")  # a host as a user writes it
_HOST = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/?#@]*@)?(\[[^\]/]*\]|[^/:?#]*)")


def archive() -> Path:
    """datatrove's archive of listed hosts and URLs, as installed."""
    return Path(str(resources.files("datatrove"))) / "assets" / "url_filterblacklistsv0_3_0.tar.gz"


def prepare(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> dict[str, Any]:
    """Write the sorted hashes of all hosts and URLs of the archive as an array; a unit of work of the stage."""
    hashes: list[Hashes] = []
    unpacked = igzip.IGzipFile(inputs[0])  # type: ignore[no-untyped-call]
    with unpacked, tarfile.open(fileobj=unpacked, mode="r|") as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None, f"{inputs[0]}: {member.name} is no file"
            rest = b""
            while block := content.read(_BLOCK):
                text = rest + block
                end = text.rfind(b"\n") + 1
                hashes.append(_of_lines(text[:end]))
                rest = text[end:]
            hashes.append(_of_lines(rest))
    array = np.sort(np.concatenate(hashes))
    arrays.save(outputs["hosts"], array)
    return {"in": len(array)}


def _of_lines(text: bytes) -> Hashes:
    """Hashes of the lines of a list that are neither empty nor comments."""
    text = text.replace(b"\r", b"")
    letters = np.frombuffer(text + b"\n", np.uint8)
    ends = np.flatnonzero(letters == ord("\n"))
    starts = np.append(0, ends[:-1] + 1)
    named = (ends > starts) & (letters[starts] != ord("#"))
    return _hashes(text, starts[named], (ends - starts)[named])


def _hashes(text: bytes, starts: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> Hashes:
    """Hashes of pieces of a text, eight bytes of all pieces at a time: a third of the time of one by one.

    Multiplied and folded as in MurmurHash's finalizer (Appleby, 2011); a piece's hash depends on it alone.
    """
    letters = text + bytes(_WORD)
    words = np.ndarray((len(text) + 1,), "<u8", letters, strides=(1,))  # that begin at each byte
    hashes = sizes.astype(np.uint64) * _FACTOR
    at = np.arange(len(sizes))
    for begun in range(0, int(sizes.max(initial=0)), _WORD):
        at = at[sizes[at] > begun]
        left = np.minimum(sizes[at] - begun, _WORD)
        mixed = (hashes[at] ^ words[starts[at] + begun] & _MASKS[left]) * _FACTOR
        hashes[at] = (mixed ^ mixed >> np.uint64(32)) * _SECOND_FACTOR
    folded: Hashes = hashes ^ hashes >> np.uint64(29)
    return folded


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
        self._listed: Hashes = np.load(listed, mmap_mode="r")
        self._words = _assets("banned_words.txt")
        self._soft = _assets("soft_banned_words.txt")
        self._within = sorted(_assets("banned_subwords.txt"))
        self._size = min(map(len, self._within))
        self._heads = {word[: self._size] for word in self._within}

    def scores(self, urls: Sequence[str]) -> list[dict[str, float]]:
        """Whether a URL or its host is listed (0 or 1), whether a listed word is in it, and how many suspect ones."""
        # datatrove looks up the host and the domain registered above it; what lies between is included here.
        names = [[url, *above[: max(1, len(above) - 1)]] for url, above in zip(urls, map(_above, urls), strict=True)]
        listed = self._are_listed(list(chain.from_iterable(names))).tolist()
        ends = accumulate(map(len, names))
        scores: list[dict[str, float]] = []
        for url, own, end in zip(urls, names, ends, strict=True):
            words = set(_NOT_WORD.split(url))
            scores.append(
                {
                    "url_listed": any(listed[end - len(own) : end]),
                    "url_words": not self._words.isdisjoint(words) or self._has_word_within(url),
                    "url_soft_words": len(self._soft & words),
                }
            )
        return scores

    def _has_word_within(self, url: str) -> bool:
        letters, size = _NOT_WORD.sub("", url).lower(), self._size
        # The first letters tell nearly always that no word is there, in a fifth of the time of a search.
        heads = {letters[start : start + size] for start in range(len(letters) - size + 1)}
        return not self._heads.isdisjoint(heads) and any(word in letters for word in self._within)

    def _are_listed(self, names: Sequence[str]) -> npt.NDArray[np.bool_]:
        encoded = [name.encode() for name in names]
        sizes = np.array([len(name) for name in encoded], np.int64)
        keys = _hashes(b"".join(encoded), np.cumsum(sizes) - sizes, sizes)
        places = np.minimum(np.searchsorted(self._listed, keys), len(self._listed) - 1)
        return np.asarray(self._listed[places] == keys)


class Hosts:
    """The hosts that the user refuses."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._hosts = {in_ascii(host.lower().strip(".")) for host in hosts}

    def have(self, url: str) -> bool:
        """Whether ``url`` is on one of the hosts or below it."""
        return not self._hosts.isdisjoint(_above(url))


def _above(url: str) -> list[str]:
    """The host of ``url`` and every name above it."""
    host = _HOST.match(url)
    labels = in_ascii(host[1].lower().strip(".")).split(".") if host else []
    return [".".join(labels[first:]) for first in range(len(labels))]


def _assets(name: str) -> frozenset[str]:
    lines = (resources.files("datatrove") / "assets" / name).read_text("utf-8").splitlines()
    return frozenset(_NOT_WORD.sub("", line).lower() for line in lines if line and not line.startswith("#"))
