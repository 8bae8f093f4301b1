"""A folder of HTML files as a source: a web site at hand."""

from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.core.progress import log
from stages.web.sources import locations, sites
from stages.web.sources.source import Collected, Wanted


@params
class Folder:
    """A tree of HTML files."""

    root: str
    """Its path, absolute or relative to incoming/crawl."""
    base_url: str
    """Where the root would be found on the web."""


def collect(section: Folder, wanted: Wanted) -> Collected:
    """The pages of the folder; each has the date at which its file was last changed."""
    root = wanted.incoming / section.root
    if not root.is_dir():
        raise HeadwaterError(f"crawl.folder.root: {root} is no folder")
    if not root.resolve().is_relative_to(wanted.incoming.resolve()):
        log(f"{root} lies outside {wanted.incoming}: DVC does not watch it; `dvc repro -f crawl` takes it in again")
    if links := locations.leading_out(root):
        log(
            f"links that lead out of {root} are not followed ({len(links):,}), such as {links[0]}: "
            "copy what they lead to, or link it hard"
        )
    built, total = sites.build({"folder": sites.Site(root, section.base_url.rstrip("/") + "/")}, wanted)
    return Collected(built, total, (section.root,))
