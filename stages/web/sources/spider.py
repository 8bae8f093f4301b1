"""The polite crawler: Scrapy with its addresses checked, its robots strict, and a WARC as its cache.

Scrapy's event loop can be started once in a process, so a crawl has a process of its own.
"""

import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import scrapy
from scrapy import signals
from scrapy.crawler import CrawlerProcess
from scrapy.exceptions import CloseSpider, DownloadCancelledError, IgnoreRequest, StopDownload
from scrapy.http import HtmlResponse, Request, Response
from scrapy.spidermiddlewares.httperror import HttpError

from stages.core.progress import Meter, meter
from stages.core.runtime import profile
from stages.web.robots import LARGEST
from stages.web.sources.capture_store import CaptureStore
from stages.web.sources.links import links
from stages.web.sources.manners import GIVEN_UP, LONGEST_WAIT, Bounds, Patience, Unpacked, is_robots
from stages.web.sources.resolver import CheckedResolver
from stages.web.sources.web_crawl import WebCrawl

_ROBOT = "Headwater"
_PASSING = [408, 425, 429, 500, 502, 503, 504]  # states that pass
_LINKS_A_PAGE = 20  # URLs that are remembered for each page that may be taken: a page can name thousands (2.9 kB each)
_PAGES = ("text/html", "application/xhtml+xml")


def crawl(store: Path, section: WebCrawl, allow_private: Sequence[str], parent: Connection) -> None:
    """Crawl, and end with the process that is behind ``parent``, however that ends.

    Args:
        store: The WARC; beside it ``finished.json`` is written when the crawl has come to its end.
        section: What is asked for.
        allow_private: Networks beside the public ones that may be connected to.
        parent: The other end of a pipe from it.
    """
    manner = profile().crawl
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    process = CrawlerProcess(
        {
            "USER_AGENT": f"{_ROBOT}/0.1" + (f" (+{manner.contact})" if manner.contact else ""),
            "ROBOTSTXT_OBEY": True,
            "ROBOTSTXT_USER_AGENT": _ROBOT,
            "CONCURRENT_REQUESTS": 16,
            "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
            "DOWNLOAD_DELAY": manner.delay,
            "DOWNLOAD_DELAY_JITTER": 0,
            "DOWNLOAD_TIMEOUT": manner.timeout,
            "DOWNLOAD_MAXSIZE": section.max_bytes,
            "DOWNLOAD_WARNSIZE": 0,
            "RETRY_TIMES": 3,
            "RETRY_HTTP_CODES": _PASSING,
            "REDIRECT_MAX_TIMES": 5,
            "METAREFRESH_ENABLED": False,
            "COOKIES_ENABLED": False,
            "HTTPPROXY_ENABLED": False,  # through a proxy, no address could be checked
            "TELNETCONSOLE_ENABLED": False,
            "TWISTED_DNS_RESOLVER": CheckedResolver,
            "ALLOW_PRIVATE": list(allow_private),
            "DOWNLOADER_MIDDLEWARES": {
                Bounds: 50,
                "scrapy.downloadermiddlewares.retry.RetryMiddleware": None,
                Patience: 550,
                Unpacked: 595,  # before Scrapy unpacks what is larger
            },
            "HTTPCACHE_ENABLED": True,
            "HTTPCACHE_STORAGE": Storage,
            "HTTPCACHE_DIR": str(store),
            "HTTPCACHE_IGNORE_HTTP_CODES": _PASSING,
            # First come, first served, level by level.
            "DEPTH_PRIORITY": 1,
            "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",
            "LOG_LEVEL": "CRITICAL",
        }
    )
    with meter("crawl", section.max_pages, "pages") as progress:
        process.crawl(Pages, store=store, section=section, progress=progress)
        process.start()


def _end_with(parent: Connection) -> None:
    try:
        parent.recv()
    except EOFError:
        os._exit(1)  # what is stored is whole


class Pages(scrapy.Spider):
    """Follows links from the seeds within their bounds; counts what became of each URL."""

    name = "pages"

    def __init__(self, store: Path, section: WebCrawl, progress: Meter, **settings: Any) -> None:
        super().__init__(**settings)
        self.section, self.progress = section, progress
        self._store = store
        self.pages: list[str] = []
        self.host_pages: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.given_up: set[str] = set()  # hosts
        self._robots: Counter[str] = Counter()  # bytes that have come of a robots.txt
        self._linked: set[bytes] = set()  # URLs, hashed
        self._host_linked: Counter[str] = Counter()
        self.bounds = {(_host(seed), _folder(seed) if section.scope == "below" else "/") for seed in section.seeds}

    @classmethod
    def from_crawler(cls, crawler: Any, *arguments: Any, **settings: Any) -> "Pages":
        """Scrapy's way to make a spider."""
        spider: Pages = super().from_crawler(crawler, *arguments, **settings)
        crawler.signals.connect(spider.look_at_head, signals.headers_received)
        crawler.signals.connect(spider.look_at_size, signals.bytes_received)
        crawler.signals.connect(spider.heed_delay, signals.robots_parsed)
        crawler.signals.connect(spider.finish, signals.spider_closed)
        return spider

    async def start(self) -> AsyncIterator[Request]:
        """The seeds."""
        for seed in self.section.seeds:
            yield Request(seed, callback=self.parse, errback=self.fail)

    def parse(self, response: Response) -> Iterator[Request]:
        """Count a page, and go where it links to."""
        host = _host(response.url)
        if not isinstance(response, HtmlResponse):
            self.dropped["not_html"] += 1
            return
        if len(self.pages) >= self.section.max_pages or self.host_pages[host] >= self.section.max_host_pages:
            return  # it was under way when the last one came
        self.pages.append(response.url)
        self.host_pages[host] += 1
        self.progress.advance(1)
        if len(self.pages) >= self.section.max_pages:
            raise CloseSpider("max_pages")
        robots = response.headers.get("X-Robots-Tag", b"").decode("latin-1").lower()
        if response.meta["depth"] >= self.section.max_depth or "nofollow" in robots:
            return
        for url in links(response.text, response.url):
            if self.in_bounds(url) and self._is_new(url):
                yield Request(url, callback=self.parse, errback=self.fail)

    def fail(self, failure: Any) -> None:
        """Count a URL that gave no page, by reason."""
        error = failure.value
        if isinstance(error, HttpError):
            self.dropped["status"] += 1
        elif isinstance(error, StopDownload):
            self.dropped["not_html"] += 1
        elif isinstance(error, DownloadCancelledError):
            self.dropped["too_large"] += 1
        elif isinstance(error, IgnoreRequest):
            said = str(error)
            if reason := {"Forbidden by robots.txt": "robots", "max redirections reached": "redirects",
                          GIVEN_UP: "busy"}.get(said, "too_large" if "DOWNLOAD_MAXSIZE" in said else ""):  # fmt: skip
                self.dropped[reason] += 1
        else:
            self.dropped["unreachable"] += 1

    def _is_new(self, url: str) -> bool:
        """Whether a URL was not linked to before, and may still be asked for before the crawl has its pages."""
        host, key = _host(url), hashlib.blake2b(url.encode("utf-8", "replace"), digest_size=16).digest()
        if (
            key in self._linked
            or len(self._linked) >= _LINKS_A_PAGE * self.section.max_pages
            or self._host_linked[host] >= _LINKS_A_PAGE * self.section.max_host_pages
        ):
            return False
        self._linked.add(key)
        self._host_linked[host] += 1
        return True

    def in_bounds(self, url: str) -> bool:
        """Whether a URL is one that this crawl may ask for now."""
        host = _host(url)
        if self.host_pages[host] >= self.section.max_host_pages:
            return False
        if self.section.scope == "any":
            return True
        return any(
            (host == bound or (self.section.scope == "domain" and host.endswith("." + bound.removeprefix("www."))))
            and (urlsplit(url).path or "/").startswith(folder)
            for bound, folder in self.bounds
        )

    def look_at_head(self, headers: Any, request: Request, **_: Any) -> None:
        """Do not fetch the body of what is no page."""
        kind = headers.get("Content-Type", b"text/html").decode("latin-1").partition(";")[0].strip().lower()
        if kind not in _PAGES and not is_robots(request):
            raise StopDownload(fail=True)

    def look_at_size(self, data: bytes, request: Request, **_: Any) -> None:
        """Read no more of a robots.txt than counts."""
        if is_robots(request):
            self._robots[request.url] += len(data)
            if self._robots[request.url] >= LARGEST:
                raise StopDownload(fail=False)

    def heed_delay(self, robotparser: Any, request: Request, **_: Any) -> None:
        """Be as slow with a host as its robots.txt asks for."""
        asked = min(robotparser.crawl_delay(_ROBOT) or 0, LONGEST_WAIT)
        if asked > profile().crawl.delay:
            downloader = self.crawler.engine.downloader
            downloader.per_slot_settings[_host(request.url)] = {"delay": asked}
            if slot := downloader.slots.get(_host(request.url)):
                slot.delay = asked

    def finish(self, reason: str) -> None:
        """Say that the crawl has come to its end, unless it was stopped."""
        if reason in ("finished", "max_pages"):
            partial = self._store.with_name("finished.partial")
            partial.write_text(json.dumps({"pages": self.pages, "dropped": self.dropped}), "utf-8")
            partial.replace(partial.with_name("finished.json"))


class Storage:
    """Scrapy's cache in a :class:`CaptureStore`."""

    def __init__(self, settings: Any) -> None:
        self._path = Path(settings["HTTPCACHE_DIR"])

    def open_spider(self, spider: Pages) -> None:
        """Have what an earlier run has fetched."""
        self._store = CaptureStore(self._path)

    def close_spider(self, spider: Pages) -> None:
        """Nothing more comes."""
        self._store.close()

    def retrieve_response(self, spider: Pages, request: Request) -> Response | None:
        """The response of a URL that is here."""
        record = self._store.record(request.url)
        if record is None:
            return None
        head, _, body = record.body.partition(b"\r\n\r\n")
        lines = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
        headers = scrapy.http.Headers([(name, value) for name, _, value in lines])
        kind = scrapy.responsetypes.responsetypes.from_args(headers=headers, url=request.url, body=body)
        return kind(url=request.url, status=int(head.split(b" ")[1]), headers=headers, body=body)

    def store_response(self, spider: Pages, request: Request, response: Response) -> None:
        """Keep what has come."""
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, values in response.headers.items()
            for value in values
        ]
        address = str(response.ip_address or "")
        self._store.add(request.url, response.status, headers, response.body, address)


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _folder(url: str) -> str:
    """The path of a URL up to its last slash."""
    return (urlsplit(url).path or "/").rpartition("/")[0] + "/"
