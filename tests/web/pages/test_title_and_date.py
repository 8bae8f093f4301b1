import pytest

from stages.web.pages import html


def content(page: str, url: str = "http://a.example/x", captured: str = "2024-05-01T00:00:00Z") -> html.Content:
    found = html.content(page + "<p>Some text of the page that goes on for a while.</p>", 100_000, 512, url, captured)
    assert isinstance(found, html.Content)
    return found


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<title>A long story | The Daily</title><h1>The Daily</h1><h1>A long story</h1>", "A long story"),
        ("<title>A long story – The Daily</title>", "A long story"),
        ("<title>The Daily</title><h1>A long story</h1>", "A long story"),
        ("<title>A long story | The Daily</title><h1>The Daily</h1>", "A long story"),
        ("<title>A long story</title><meta property=og:site_name content=Daily><h1>DAILY</h1>", "A long story"),
        ("<title>長い話 - 新聞</title><h1>新聞</h1><h1>長い話</h1>", "長い話"),
        ('<meta property="og:title" content="Tom &amp; Jerry"><title>x</title>', "Tom & Jerry"),
        ("<title>A story: told | Daily</title><meta property=og:site_name content=Daily>", "A story: told"),
        ("<title>4.19. Un instantané («snapshot») du système</title>", "4.19. Un instantané («snapshot») du système"),
        ("<title>Où va le « printemps » arabe ? » Le Journal</title>", "Où va le « printemps » arabe ?"),
        ("<svg><title>icon</title></svg>", ""),
    ],
)
def test_titles(page: str, title: str) -> None:
    assert content(page).title == title


@pytest.mark.parametrize(
    ("page", "day"),
    [
        ('<meta property="article:published_time" content="2012-05-31T08:00:00+02:00">', "2012-05-31"),
        ('<script type="application/ld+json">{"datePublished": "2019-1-7T00:00"}</script>', "2019-01-07"),
        ('<meta name="DC.date.issued" content="20110203">', "2011-02-03"),
        ('<meta name="date" content="Tue, 03 Jan 2012 10:00:00 GMT">', "2012-01-03"),
        ('<p>On <time datetime="2020-02-29">leap day</time></p>', "2020-02-29"),
        ('<meta name="date" content="2021-02-30"><meta name="created" content="2021-03-01">', "2021-03-01"),
        ('<meta name="date" content="2031-01-01">', ""),  # after the capture
        ('<meta name="date" content="yesterday">', ""),
        ('<meta name="date" content="2023-13-45">', ""),
        ('<meta name="date" content="6.05.2023, 10:00">', "2023-05-06"),
        ('<script>[{"dateCreated":"2001-01-01"},{"datePublished":"2019-01-07"}]</script>', "2019-01-07"),
        ('<script>{"@id":"datePublished"},{"datePublished": "2019-01-07"}</script>', "2019-01-07"),
        ('<script>{"datePublished": "Jan 7, 2019"}</script>', "2019-01-07"),
        ('<meta name="published" content="January 7th, 2019">', "2019-01-07"),
        ('<meta name="date" content="05/06/2023">', ""),  # May or June
        ('<script>{"dateCreated":"2001-01-01"}</script><meta name="date" content="2019-01-07">', "2019-01-07"),
        ("", ""),
    ],
)
def test_dates(page: str, day: str) -> None:
    assert content(page).published == day


def test_the_address_may_tell_the_day() -> None:
    assert content("", "http://a.example/2012/5/31/story").published == "2012-05-31"
