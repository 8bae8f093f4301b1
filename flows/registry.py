"""What was promoted, when and why: annotated tags of git's, named as GTO and `dvc artifacts get` read them.

``model@v3.0.0`` is a version: a commit whose dvc.lock names every byte of it. ``model#champion#7`` says which version
serves since when; the tag with the highest number counts, and its message says why. Nothing is ever moved or removed,
so going back is one more tag. `dvc gc --workspace --all-tags` keeps what any of them needs.
"""

import re
from dataclasses import dataclass

from flows import history
from stages.core.errors import HeadwaterError

STAGE = "champion"


@dataclass(frozen=True)
class Promotion:
    """One entry of the registry."""

    number: int
    """Counts up from 1."""
    version: str
    """Such as v3.0.0."""
    commit: str
    date: str
    """When, as ISO 8601."""
    reason: str
    """Why; a line or more."""


class Registry:
    """The promotions of an artifact of dvc.yaml.

    Args:
        name: Of the artifact.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def promotions(self) -> list[Promotion]:
        """All there were, the oldest first; the last one is the champion."""
        versions = {commit: tag.removeprefix(f"{self.name}@") for tag, commit, _, _ in self._tags(f"{self.name}@*")}
        found = []
        for tag, commit, date, message in self._tags(f"{self.name}#{STAGE}#*"):
            if number := re.fullmatch(r"\d+", tag.rpartition("#")[2]):
                found.append(Promotion(int(number[0]), versions.get(commit, ""), commit, date, message))
        return sorted(found, key=lambda one: one.number)

    def champion(self) -> Promotion | None:
        """The last promotion, if there is any."""
        return next(iter(self.promotions()[::-1]), None)

    def promote(self, commit: str, reason: str) -> Promotion:
        """Make what a commit has the champion.

        Raises:
            HeadwaterError: git does not take the tag, such as when another process promotes at the same time.
        """
        versions = {of: tag for tag, of, _, _ in self._tags(f"{self.name}@*")}
        if commit not in versions:
            count = 1 + max((int(tag.rpartition("@v")[2].partition(".")[0]) for tag in versions.values()), default=0)
            history.git("tag", "--annotate", f"{self.name}@v{count}.0.0", commit, "--message", reason)
        number = 1 + max((one.number for one in self.promotions()), default=0)
        history.git("tag", "--annotate", f"{self.name}#{STAGE}#{number}", commit, "--message", reason)
        return self.promotions()[-1]

    def roll_back(self) -> Promotion:
        """Make the version before the champion the champion again.

        Raises:
            HeadwaterError: there is none.
        """
        standing, _ = self._stack()
        if len(standing) < 2:
            raise HeadwaterError(f"{self.name}: nothing to go back to; promotions so far: {len(self.promotions())}")
        before, now = standing[-2:]
        return self.promote(before.commit, f"rolled back from {now.version} to {before.version}")

    def rolled_back(self) -> list[tuple[Promotion, Promotion]]:
        """What was gone back from and was not promoted since, each with the promotion that went back."""
        return list(self._stack()[1].values())

    def _stack(self) -> tuple[list[Promotion], dict[str, tuple[Promotion, Promotion]]]:
        """The champion after those that it came after, and by commit what :meth:`rolled_back` gives."""
        standing: list[Promotion] = []
        off: dict[str, tuple[Promotion, Promotion]] = {}
        for one in self.promotions():
            if len(standing) > 1 and one.commit == standing[-2].commit:
                gone = standing.pop()
                off[gone.commit] = (gone, one)
            else:
                standing.append(one)
                off.pop(one.commit, None)
        return standing, off

    def _tags(self, pattern: str) -> list[tuple[str, str, str, str]]:
        """Name, commit, date and message of the annotated tags that match a pattern."""
        fields = "%(refname:strip=2)%00%(*objectname)%00%(taggerdate:iso-strict)%00%(contents)%01"
        listed = history.git("for-each-ref", f"--format={fields}", f"refs/tags/{pattern}")
        found = []
        for entry in filter(None, (one.strip("\n") for one in listed.split("\1"))):
            name, commit, date, message = entry.split("\0")
            if commit:  # of a tag that is not annotated there is none
                found.append((name, commit, date, message.strip()))
        return found
