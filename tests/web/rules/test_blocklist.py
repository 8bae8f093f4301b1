"""URLs are refused by host, by list and by word, as datatrove's URLFilter does."""

import io
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from stages.web.rules.blocklist import RULES, Blocklist, Hosts, Urls, prepare
from stages.web.rules.rule import first_broken

URLS = Urls(blocklists=True, max_soft_words=1, hosts=["Example.org"])


@pytest.mark.parametrize(
    "host", ["https://example.org/", "*.example.org", "example.org/docs", "example.org:80", "a b", ""]
)
def test_what_is_no_host_is_refused_and_not_passed_over(host: str) -> None:
    with pytest.raises(ValueError, match=r"hosts such as example\.org, which stands for all below it too"):
        Urls(blocklists=True, max_soft_words=1, hosts=["example.net", host])


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    archive, target = tmp_path / "lists.tar.gz", tmp_path / "listed.npy"
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in {
            "domains": b"# comment\nbad.net\nblog.shared.com",
            "urls": b"http://mixed.com/bad\n",
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    assert prepare(None, [archive], {"hosts": target}) == {"in": 3}
    return target


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://good.net/page", None),
        ("https://example.org/", "url_host"),
        ("https://www.EXAMPLE.org:8080/", "url_host"),
        ("https://notexample.org/", None),
        ("https://bad.net/page", "url_listed"),
        ("https://user@www.bad.net:80/page", "url_listed"),
        ("https://blog.shared.com/", "url_listed"),
        ("https://other.shared.com/", None),
        ("http://mixed.com/bad", "url_listed"),
        ("http://mixed.com/good", None),
        ("https://good.net/bdsm/page", "url_words"),
        ("https://good.net/nude/page", None),
        ("https://good.net/nude/sexy", "url_soft_words"),
        ("no url at all", None),
    ],
)
def test_judges_urls(url: str, reason: str | None, listed: Path) -> None:
    own = "url_host" if Hosts(URLS.hosts).have(url) else None
    _, scores = Blocklist(listed).scores(["https://bad.net/", url])
    assert (own or first_broken(RULES, scores, SimpleNamespace(urls=URLS))) == reason


@pytest.mark.parametrize("host", ["Bücher.example", "xn--bcher-kva.example"])
@pytest.mark.parametrize(
    "url", ["https://bücher.example/", "https://www.xn--bcher-kva.example/a", "http://BÜCHER.example"]
)
def test_an_international_host_is_the_same_however_it_is_written(host: str, url: str) -> None:
    assert Hosts(Urls(blocklists=False, max_soft_words=1, hosts=[host]).hosts).have(url)
    assert not Hosts([host]).have("https://bucher.example/")
