"""Replaces e-mail addresses and public IP addresses by placeholders.

After datatrove's PIIFormatter, with IPv6 besides, and bounded so that no text makes the patterns slow.
"""

import ipaddress
import re
from collections import Counter

from stages.core.params import params


@params
class PersonalData:
    """What is replaced."""

    emails: bool
    """E-mail addresses become [email]."""
    ips: bool
    """Public IP addresses become [ip]; private and documentation ranges stay."""


_ATOM = r"[A-Za-z0-9!#$%&'*+=?^_{|}~-]"
_EMAIL = re.compile(
    rf"(?<!{_ATOM})(?<!\.){_ATOM}{{1,64}}(?:\.{_ATOM}{{1,64}}){{0,8}}@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,63}\b"
)
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?<![\w.])(?:{_OCTET}\.){{3}}{_OCTET}(?!\w|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[23][0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{0,4}(?![\w:]|\.\d)")


def replace(text: str, rules: PersonalData) -> tuple[str, Counter[str]]:
    """``text`` with placeholders, and how many of each kind were put in."""
    found: Counter[str] = Counter()

    def placeholder(match: re.Match[str]) -> str:
        kind = "email" if "@" in match[0] else "ip"
        if kind == "ip" and not _public(match[0]):
            return match[0]
        found[kind] += 1
        return f"[{kind}]"

    if rules.emails and "@" in text:
        text = _EMAIL.sub(placeholder, text)
    if rules.ips:
        text = _IPV4.sub(placeholder, text)
        text = _IPV6.sub(placeholder, text)
    return text, found


def _public(address: str) -> bool:
    # Of four numbers below 32 nearly all are sections and versions: one address in 4,096 is of that kind.
    if "." in address and all(int(number) < 32 for number in address.split(".")):
        return False
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False
