"""Who asks that no model learns from a page is heard, in headers and in the page, and nobody else is."""

import time

import pytest

from stages.web import opt_outs

SIGNALS = ("noai", "noimageai", "tdm-reservation")


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ("X-Robots-Tag: noai", "noai"),
        ("x-robots-tag: noindex, NOAI", "noai"),
        ("X-Robots-Tag: nofollow\r\nX-Robots-Tag: noimageai", "noimageai"),
        ("X-Robots-Tag: headwater: noindex, noai", "noai"),
        ("X-Robots-Tag: max-snippet:-1, noai", "noai"),
        ("X-Robots-Tag: unavailable_after: Friday, 25-Jun-2038 15:00:00 GMT, noai", "noai"),
        ("X-Robots-Tag: otherbot: max-snippet:-1, noai", ""),
        ("TDM-Reservation: 1", "tdm-reservation"),
        ("TDM-Reservation: 0", ""),
        ("X-Robots-Tag: otherbot: noai", ""),
        ("X-Robots-Tag: otherbot: noindex, noai", ""),
        ("X-Robots-Tag: noindex", ""),
        ("X-Other: noai", ""),
        ("", ""),
    ],
)
def test_headers(headers: str, found: str) -> None:
    message = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{headers}".encode()

    assert opt_outs.in_headers(message, SIGNALS) == found


@pytest.mark.parametrize(
    ("head", "found"),
    [
        ('<meta name="robots" content="noai, noimageai">', "noai"),
        ("<META CONTENT='noindex,NoImageAI' NAME='ROBOTS'>", "noimageai"),
        ("<meta name=headwater content=noai />", "noai"),
        ('<meta name="robots" content="index, max-image-preview:large, max-video-preview:-1, noai">', "noai"),
        ('<meta\nname="tdm-reservation"\ncontent="1">', "tdm-reservation"),
        ('<meta name="robots" content="no&#97;i">noai', "noai"),
        ('<meta name="tdm-reservation" content="0">', ""),
        ('<meta name="otherbot" content="noai">', ""),
        ('<meta name="description" content="what noai means">', ""),
        ('<!-- <meta name="robots" content="noai"> -->', ""),
        ('</head><body><meta name="robots" content="noai">', ""),
    ],
)
def test_pages(head: str, found: str) -> None:
    assert opt_outs.in_page(f"<!doctype html><html><head><title>a</title>{head}", SIGNALS) == found


def test_only_what_counts_counts() -> None:
    page = '<meta name="robots" content="noai, noindex">'

    assert opt_outs.in_page(page, ()) == ""
    assert opt_outs.in_page(page, ("noindex",)) == "noindex"


@pytest.mark.parametrize("piece", ["<meta ", "<meta a", "a=", '<meta a="', "<!--", "<meta " + "a" * 1000])
def test_a_hostile_head_takes_no_time(piece: str) -> None:
    start = time.process_time()
    opt_outs.in_page("noai" + piece * (200_000 // len(piece)) + ">", SIGNALS)
    assert time.process_time() - start < 2  # a quadratic one takes minutes
