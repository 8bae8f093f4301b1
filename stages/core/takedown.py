"""Pages that are to be no part of a build: the list that a user keeps, and what it matches."""

import dataclasses
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

import idna

from stages.core.errors import HeadwaterError

_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_COMMENT = re.compile(r"(^|\s)#.*")


@dataclass(frozen=True)
class Takedown:
    """What a list names."""

    urls: frozenset[str]
    """As :func:`address` writes them."""
    hosts: frozenset[str]
    """With all hosts below them."""
    ids: frozenset[str]
    """Of documents."""
    texts: frozenset[str]
    """As :func:`text_hash` writes them."""
    similar: tuple[tuple[float, "Takedown"], ...] = ()
    """Those of the entries whose likes are to go too, by the similarity from which on."""

    @property
    def pages(self) -> bool:
        """Whether a page can be told by what it was captured as, and not by its text alone."""
        return bool(self.urls or self.hosts or self.ids)

    def threshold(self, url: str, identity: str, text: str) -> float | None:
        """The similarity at or above which pages go with a capture; None where it goes alone, or not at all.

        Args:
            url: Of the capture.
            identity: The id of its document.
            text: The hash of its text.
        """
        found = (limit for limit, named in self.similar if named.names(url, identity) or text in named.texts)
        return min(found, default=None)

    def names(self, url: str, identity: str) -> bool:
        """Whether a capture is named, by its URL, its host or the id of its document."""
        if identity in self.ids or address(url) in self.urls:
            return True
        labels = host(url).split(".") if self.hosts else []
        return any(".".join(labels[at:]) in self.hosts for at in range(len(labels)))


def read(path: Path) -> Takedown:
    """The list in a file: in each line a URL, a host, the id of a document or the hash of a text.

    A date may stand before it, and a comment after `` #``. ``similar 0.8`` behind it takes down, too, what is like it:
    texts whose sets of runs of five words have that Jaccard similarity with its own, or more.

    Raises:
        HeadwaterError: a line is none of these; names file and line.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise HeadwaterError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None
    except OSError:
        raise HeadwaterError(f"{path} is missing; an empty file takes nothing down") from None
    entries = []
    for number, line in enumerate(lines, start=1):
        words = _COMMENT.sub("", line).split()
        if words and _is_date(words[0]):
            words = words[1:]
        if words:
            entries.append(_entry(words, f"{path}: line {number}"))
    limits = sorted({limit for _, _, limit in entries if limit is not None})
    similar = [(limit, _taken(one for one in entries if one[2] == limit)) for limit in limits]
    return dataclasses.replace(_taken(entries), similar=tuple(similar))


def _taken(entries: Iterable[tuple[str, str, float | None]]) -> Takedown:
    kinds: dict[str, set[str]] = {"urls": set(), "hosts": set(), "ids": set(), "texts": set()}
    for kind, value, _ in entries:
        kinds[kind].add(value)
    urls, hosts, ids, texts = map(frozenset, kinds.values())
    return Takedown(urls, hosts, ids, texts)


def address(url: str) -> str:
    """A URL without what names the same page: scheme, user, default port, the host's case, escapes, fragment."""
    parts = _split(url)
    if parts is None or not parts.hostname:
        return url
    name, *port = parts.netloc.rpartition("@")[2].lower().removesuffix(":80").removesuffix(":443").split(":", 1)
    place = ":".join([in_ascii(name), *port])
    return f"{place}{_escaped(parts.path or '/')}" + f"?{_escaped(parts.query)}" * bool(parts.query)


def _escaped(part: str) -> str:
    """A path or query with the same escapes however it was written: a browser shows ``ä`` where a crawler has %C3%A4.

    RFC 3986, section 6.2.2: letters, digits and ``-._~`` have none.
    """
    escaped = quote(part, safe="%/:?#[]@!$&'()*+,;=~", errors="surrogatepass")
    return _ESCAPE.sub(lambda escape: quote(unquote_to_bytes(escape[0]), safe=""), escaped)


def host(url: str) -> str:
    """The host of a URL in lower case, as :func:`in_ascii` writes it; empty if there is none."""
    parts = _split(url)
    return in_ascii(parts.hostname or "") if parts else ""


def in_ascii(name: str) -> str:
    """A host as DNS has it: browsers show ``bücher.example`` where crawlers have ``xn--bcher-kva.example`` (UTS 46)."""
    try:
        return name if name.isascii() else idna.encode(name, uts46=True).decode()
    except idna.IDNAError:  # no host has such a name
        return name


def text_hash(text: str) -> str:
    """SHA-256 of a text without space around it, in hex."""
    return hashlib.sha256(text.strip().encode("utf-8", "surrogatepass")).hexdigest()


def _entry(words: list[str], where: str) -> tuple[str, str, float | None]:
    said, *more = words
    limit = _similarity(more)
    if limit is not None or not more:
        if "://" in said and host(said):
            return "urls", address(said), limit
        if re.fullmatch(r"[0-9a-f]{32}", said):
            return "ids", said, limit
        if re.fullmatch(r"[0-9a-f]{64}", said):
            return "texts", said, limit
        named = in_ascii(said.lower().removeprefix("*."))
        if _HOST.fullmatch(named):
            return "hosts", named, limit
    raise HeadwaterError(
        f"{where}: {' '.join(words)[:80]!a} is no URL (https://…), host, id (32 hex digits) or hash of a text (64), "
        "alone or with `similar 0.8` behind it; a comment begins with #"
    )


def _similarity(words: list[str]) -> float | None:
    """What stands behind ``similar``, above 0 and up to 1."""
    if len(words) != 2 or words[0] != "similar" or not re.fullmatch(r"[01](\.\d+)?", words[1]):
        return None
    return float(words[1]) if 0 < float(words[1]) <= 1 else None


def _is_date(word: str) -> bool:
    try:
        return bool(date.fromisoformat(word))
    except ValueError:
        return False


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:  # such as a broken IPv6 address
        return None
