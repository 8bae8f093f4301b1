"""What was taken down, and the proof that nothing of it is left in what the build has made."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.core import arrow, documents, leftovers, shards, takedown
from stages.release.figures import Measured

_REASONS = ("takedown", "takedown_similar", "opt_out_robots")


@dataclass(frozen=True)
class Withdrawal:
    """What is gone, and what should be."""

    entries: list[tuple[str, int]]
    """Kinds of entries of the list, with how many there are."""
    taken: list[tuple[str, int]]
    """Reasons for which pages were taken out of the crawl, with how many."""
    alike: list[tuple[str, float]]
    """Ids of pages that went because they were like a named one, with their similarity."""
    documents: int
    """Looked through for what is left, in all folders together."""
    folders: int
    left: list[tuple[str, str]]
    """Folder and URL of what is left all the same; folder alone for tokens."""


def checked(
    listed: Path,
    withdrawn: Path,
    folders: Sequence[Path],
    tokens: Path,
    measured: Measured,
    likes: Callable[[Path, Path], Mapping[str, float]],
) -> Withdrawal:
    """Look for every page of a list in what the stages have written.

    Args:
        listed: The list.
        withdrawn: What went for being like a page of it, as the crawl says.
        folders: Shards of documents; the first are those that were extracted.
        tokens: Packed tokens.
        measured: Figures of the stages.
        likes: Finds the documents of a folder that are like a withdrawn page, see :mod:`stages.web.likeness`.
    """
    wanted = takedown.read(listed)
    rows = arrow.read(withdrawn, ["id", "of", "similarity"]).to_pylist()
    gone = {row["id"]: row["similarity"] for row in rows} | dict(likes(folders[0], withdrawn))
    found = {folder: leftovers.documents(folder, wanted, gone) for folder in folders}
    left = [(folder.as_posix(), url) for folder, urls in found.items() for url in sorted(urls.values())]
    held = leftovers.tokens(tokens, {one for urls in found.values() for one in urls})
    dropped = next(iter(measured.values())).get("dropped", {})
    kinds = {"URL": wanted.urls, "host": wanted.hosts, "id": wanted.ids, "text": wanted.texts}
    return Withdrawal(
        entries=[(kind, len(names)) for kind, names in kinds.items() if names],
        taken=[(reason, dropped[reason]) for reason in _REASONS if dropped.get(reason)],
        alike=[(row["id"], row["similarity"]) for row in rows if row["of"]],
        documents=sum(documents.count(shards.files(folder)) for folder in folders),
        folders=len(folders),
        left=left + [(tokens.as_posix(), "")] * bool(held),
    )
