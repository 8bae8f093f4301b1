"""How the crawler behaves: within its bounds on every hop, strict with robots.txt, patient with servers that are busy.

robots.txt is obeyed as RFC 9309 says: what is missing allows everything, what cannot be had allows nothing.
"""

from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Request, Response

from stages.web.sources.patience import seconds_asked

LONGEST_WAIT = 300.0
"""Seconds that a server may ask for, by Retry-After or Crawl-delay."""

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
        if is_robots(request):
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


class Patience(RetryMiddleware):
    """Comes again when a server that is busy asks for it."""

    async def process_response(self, request: Request, response: Response) -> Request | Response:
        """Wait as long as Retry-After says, with all of the host's pages."""
        if response.status in (429, 503) and "cached" not in response.flags:
            asked = response.headers.get("Retry-After", b"").decode("latin-1")
            wait = min(seconds_asked(asked, 2.0 ** request.meta.get("retry_times", 0)), LONGEST_WAIT)
            slot = self.crawler.engine.downloader.slots.get(request.meta.get("download_slot"))
            if slot is not None:
                slot.lastseen = monotonic() + wait - slot.delay
        return super().process_response(request, response)
