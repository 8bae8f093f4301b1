"""What a site's robots.txt forbids, as RFC 9309 says (https://www.rfc-editor.org/rfc/rfc9309), for pages that are here.

The most specific rule counts, the one that allows where two are as long. Matching takes time in proportion to rule and
path: a hostile file with a thousand asterisks takes no longer.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

LARGEST = 500 << 10
"""Bytes of a robots.txt that are read, the least that RFC 9309 (section 2.5) asks for."""

_VERSION = re.compile(rb"[/\s].*")  # behind a robot's name, as in CCBot/2.0
_LINE = re.compile(rb"^\s*([A-Za-z-]+)\s*:\s*([^#\r\n]*)")


class _Rule(NamedTuple):
    allows: bool
    parts: tuple[bytes, ...]
    """Of the pattern, between its asterisks."""
    ends: bool
    """Whether the path must end where the pattern does."""

    @property
    def length(self) -> int:
        return sum(map(len, self.parts)) + len(self.parts)

    def matches(self, path: bytes) -> bool:
        first, *rest = self.parts
        if not path.startswith(first):
            return False
        at = len(first)
        if not rest:
            return at == len(path) or not self.ends
        *inner, last = rest
        for part in inner:  # the first place is the best: what follows has most room
            found = path.find(part, at)
            if found < 0:
                return False
            at = found + len(part)
        return path.endswith(last) and len(path) - len(last) >= at if self.ends else path.find(last, at) >= 0


class Robots:
    """The rules of one file.

    Args:
        content: Its bytes; those beyond :data:`LARGEST` are not read.
    """

    def __init__(self, content: bytes) -> None:
        self._groups: dict[str, list[_Rule]] = {}
        named: list[str] = []
        ended = True  # whether the next name begins another group
        for line in content[:LARGEST].removeprefix(b"\xef\xbb\xbf").splitlines():
            found = _LINE.match(line)
            field, value = (found[1].lower(), found[2].strip()) if found else (b"", b"")
            if field == b"user-agent":
                named = [] if ended else named
                ended = False
                named.append(_VERSION.sub(b"", value).decode("latin-1").lower())
                self._groups.setdefault(named[-1], [])
            elif field in (b"allow", b"disallow"):
                ended = True
                for name in named if value else []:
                    self._groups[name].append(_rule(field == b"allow", value))

    def forbids(self, url: str, agents: Iterable[str]) -> bool:
        """Whether any of the robots ``agents``, by the names they go by, may not fetch a page."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        path = unquote_to_bytes((parts.path or "/") + f"?{parts.query}" * bool(parts.query))
        return any(self._forbids(path, self._groups.get(agent.lower(), self._groups.get("*", []))) for agent in agents)

    def _forbids(self, path: bytes, rules: list[_Rule]) -> bool:
        matching = [(rule.length, rule.allows) for rule in rules if rule.matches(path)]
        return bool(matching) and not max(matching)[1]


def _rule(allows: bool, pattern: bytes) -> _Rule:
    ends = pattern.endswith(b"$")
    parts = (pattern[:-1] if ends else pattern).split(b"*")
    return _Rule(allows, tuple(map(unquote_to_bytes, parts)), ends)
