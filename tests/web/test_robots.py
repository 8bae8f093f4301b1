"""What a robots.txt forbids, by the examples of RFC 9309 and by files that were made to take long."""

import time

import pytest

from stages.web.robots import Robots

RULES = b"""\xef\xbb\xbfUser-agent: ExampleBot
User-agent: OtherBot  # both
Disallow: /private/
Allow: /private/open.html
Disallow: /*.gif$
Disallow: /shop/*/basket
Disallow: /whole$
Disallow: */print*/all
Disallow: /t*/t*/t

user-agent: *
disallow: /everyone
Disallow:

User-Agent: OTHERBOT/2.0 (all versions)
Disallow: /caf%C3%A9
"""


@pytest.mark.parametrize(
    ("path", "agent", "forbidden"),
    [
        ("/private/a", "ExampleBot", True),
        ("/private/open.html", "examplebot", False),
        ("/a.gif", "ExampleBot", True),
        ("/a.gif?x=1", "ExampleBot", False),
        ("/shop/1/2/basket/3", "ExampleBot", True),
        ("/shop/basket", "ExampleBot", False),
        ("/whole", "ExampleBot", True),
        ("/whole/part", "ExampleBot", False),
        ("/print/1/all", "ExampleBot", True),
        ("/1/print", "ExampleBot", False),
        ("/to/to/to", "ExampleBot", True),
        ("/to/to", "ExampleBot", False),
        ("/everyone", "ExampleBot", False),
        ("/everyone", "Headwater", True),
        ("/private/a", "Headwater", False),
        ("/caf\u00e9/menu", "OtherBot", True),
        ("/caf%c3%a9", "OtherBot", True),
        ("", "OtherBot", False),
    ],
)
def test_the_most_specific_rule_for_a_robot_counts(path: str, agent: str, forbidden: bool) -> None:
    assert Robots(RULES).forbids(f"https://example.org{path}", [agent]) == forbidden


def test_any_of_the_named_robots_is_enough() -> None:
    robots = Robots(RULES)
    assert robots.forbids("https://example.org/everyone", ["ExampleBot", "Headwater"])
    assert not robots.forbids("https://example.org/everyone", [])
    assert not Robots(b"\x00\xff: :\nDisallow: /\n").forbids("https://example.org/", ["Headwater"])


def test_hostile_patterns_take_no_longer() -> None:
    hostile = Robots(b"User-agent: *\nDisallow: /" + b"*a" * 20_000 + b"*b\n")
    start = time.process_time()
    assert not hostile.forbids("https://example.org/" + "a" * 20_000, ["Headwater"])
    assert time.process_time() - start < 5
