"""E-mail and public IP addresses are replaced; what only looks like one stays."""

import time

import pytest

from stages.web.personal_data import PersonalData, replace

BOTH = PersonalData(emails=True, ips=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to jane.doe+list@mail.example.org.", "Write to [email]."),
        ("<a_b@c-d.de>", "<[email]>"),
        ("The server 93.184.216.34, port 80", "The server [ip], port 80"),
        ("at 2606:2800:220:1:248:1893:25c8:1946 now", "at [ip] now"),
        ("at 2606:2800::1946.", "at [ip]."),
        ("private 192.168.0.1, 10.0.0.1, ::1 and 127.0.0.1", "private 192.168.0.1, 10.0.0.1, ::1 and 127.0.0.1"),
        ("14.3.4.1 Section, release 9.2.1.4", "14.3.4.1 Section, release 9.2.1.4"),
        ("version 1.2.3.4.5 and 999.1.1.1", "version 1.2.3.4.5 and 999.1.1.1"),
        ("std::vector at 10:20:30, user@host", "std::vector at 10:20:30, user@host"),
    ],
)
def test_replaces(text: str, expected: str) -> None:
    assert replace(text, BOTH)[0] == expected


def test_counts_by_kind_and_can_be_turned_off() -> None:
    text = "a@b.org c@d.org 93.184.216.34"
    assert replace(text, BOTH)[1] == {"email": 2, "ip": 1}
    assert replace(text, PersonalData(emails=False, ips=False)) == (text, {})


@pytest.mark.parametrize("text", ["a." * 100_000 + "@", "a" * 200_000 + "@b", "1." * 200_000, ":" * 200_000])
def test_hostile_text_takes_no_longer(text: str) -> None:
    start = time.process_time()
    replace(text, BOTH)
    assert time.process_time() - start < 5
