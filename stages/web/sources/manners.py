"""How the crawler behaves: within its bounds on every hop, strict with robots.txt, patient with servers that are busy.

robots.txt is obeyed as RFC 9309 says: what is missing allows everything, what cannot be had allows nothing.
"""

import zlib
from collections import Counter, defaultdict
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Request, Response

from stages.core.progress import log
from stages.core.untrusted import visible
from stages.web import robots
from stages.web.sources.patience import seconds_asked

LONGEST_WAIT = 300.0
"""Seconds between two requests that a server may ask for, by Retry-After or Crawl-delay."""

GIVEN_UP = "the host is given up"
"""Why a request is not made to a host that was busy, or out of reach, for too long."""

_LONGEST_OWN_WAIT = 30.0  # seconds, where the server does not say how long
_LONGEST_BUSY = 1800.0  # seconds of waits in a row, without an answer that is of use between them,
_MOST_BUSY = 32  # or as many of such answers: eight pages that were each asked for four times
_NOTHING = b"User-agent: *\nDisallow: /"


def is_robots(request: Request) -> bool:
    """Whether a request is for a robots.txt, as Scrapy marks it."""
    return bool(request.meta.get("dont_obey_robotstxt"))


class Bounds:
    """Keeps redirects within the crawl's bounds too, and reads robots.txt strictly."""

    def __init__(self, crawler: Any) -> None:
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Any) -> "Bounds":
        """Scrapy's way to make a middleware."""
        return cls(crawler)

    def process_request(self, request: Request) -> None:
        """Refuse what is out of bounds, but for where a seed redirects to: that is then within."""
        spider = self._crawler.spider
        if (urlsplit(request.url).hostname or "") in spider.given_up:
            raise IgnoreRequest(GIVEN_UP)
        if is_robots(request):
            request.headers["Accept-Encoding"] = "identity"
            request.meta["download_maxsize"] = 0  # its beginning is read, however large it is
            return
        if request.meta.get("redirect_urls") and not request.meta.get("depth"):
            spider.bounds.add((urlsplit(request.url).hostname or "", "/"))
        if len(spider.pages) >= spider.section.max_pages or not spider.in_bounds(request.url):
            raise IgnoreRequest("out of bounds")

    def process_response(self, request: Request, response: Response) -> Response:
        """A robots.txt that is missing allows everything, one that cannot be had now allows nothing."""
        if not is_robots(request) or response.status == 200:
            return response
        body = _NOTHING if response.status >= 500 or response.status == 429 else b""
        return response.replace(status=200, body=body)

    def process_exception(self, request: Request, exception: Exception) -> Response | None:
        """As above, where there is no answer at all."""
        return Response(request.url, body=_NOTHING, request=request) if is_robots(request) else None


class Unpacked:
    """Unpacks a robots.txt that was packed although it should not be, as far as it is read."""

    def process_response(self, request: Request, response: Response) -> Response:
        """One that is not packed with gzip or zlib cannot be had."""
        packed = b", ".join(response.headers.getlist("Content-Encoding")).strip().lower()
        if not is_robots(request) or packed in (b"", b"identity"):
            return response
        try:
            body = zlib.decompressobj(wbits=47).decompress(response.body, robots.LARGEST)
        except zlib.error:
            body = _NOTHING
        response = response.replace(body=body)
        del response.headers["Content-Encoding"]
        return response


class Patience(RetryMiddleware):
    """Comes again when a server that is busy asks for it, until its host is given up."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._timeout = settings.getfloat("DOWNLOAD_TIMEOUT")
        self._failed: Counter[str] = Counter()  # answers of a host in a row that were of no use
        self._lost: defaultdict[str, float] = defaultdict(float)  # seconds with them

    async def process_response(self, request: Request, response: Response) -> Request | Response:
        """Wait as long as Retry-After says, with all of the host's pages."""
        host = urlsplit(request.url).hostname or ""
        if "cached" in response.flags or response.status == 500:  # of a page, not of its host
            return super().process_response(request, response)
        if response.status not in self.retry_http_codes:
            self._failed[host], self._lost[host] = 0, 0.0
            return response
        asked = response.headers.get("Retry-After", b"").decode("latin-1")
        wait = seconds_asked(asked, min(2.0 ** self._failed[host], _LONGEST_OWN_WAIT))
        if self._gives_up(request, wait, wait, f"answers {response.status}"):
            return response
        return super().process_response(request, response)

    def process_exception(self, request: Request, exception: Exception) -> Request | Response | None:
        """Wait, and ask again, where no answer came."""
        if isinstance(exception, self.exceptions_to_retry):
            failed = self._failed[urlsplit(request.url).hostname or ""]
            wait = min(2.0 ** (failed - 4), _LONGEST_OWN_WAIT)  # one page alone need not make the others wait
            lost = wait + self._timeout * ("Timeout" in type(exception).__name__)
            if self._gives_up(request, wait, lost, "is out of reach"):
                return None
        return super().process_exception(request, exception)

    def _gives_up(self, request: Request, wait: float, lost: float, said: str) -> bool:
        """Wait before a host that has failed is asked again, or give it up; whether it is given up."""
        host = urlsplit(request.url).hostname or ""
        spider, downloader = self.crawler.spider, self.crawler.engine.downloader
        slot = downloader.slots.get(request.meta.get("download_slot"))
        self._failed[host] += 1
        self._lost[host] += lost
        if wait <= LONGEST_WAIT and self._lost[host] <= _LONGEST_BUSY and self._failed[host] < _MOST_BUSY:
            if slot is not None:
                slot.lastseen = monotonic() + wait - slot.delay
            return False
        if host not in spider.given_up:
            spider.given_up.add(host)
            asked = f" and asks to be left alone for {min(wait, 1e7) / 3600:,.1f} hours" if wait > LONGEST_WAIT else ""
            times = f"the last {self._failed[host]:,} times"
            log(f"{visible(host)} {said}{asked}, {times}: no more of its pages are asked for")
        while slot is not None and slot.queue:
            _, waiting = slot.queue.popleft()
            waiting.errback(IgnoreRequest(GIVEN_UP))
        return True
