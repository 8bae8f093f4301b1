"""What a crawl of live sites is asked for. How fast it goes stands in the execution profile."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from stages.core.params import params


@params
class WebCrawl:
    """A crawl of live sites; its pages have the date at which they were fetched."""

    seeds: tuple[str, ...]
    """Where to begin."""
    visit: str
    """Any name: with another one the same seeds are crawled anew."""
    scope: Literal["below", "host", "domain", "any"]
    """Where links may lead: below the seeds' folders, to their hosts, to subdomains of these too, or anywhere."""
    max_depth: NonNegativeInt
    """Links between a seed and a page."""
    max_pages: PositiveInt
    """Pages of the whole crawl."""
    max_host_pages: PositiveInt
    """Pages of one host."""
    max_bytes: PositiveInt
    """Bytes of a page as it is sent; a larger one is not fetched to its end."""
