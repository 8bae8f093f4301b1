"""Ask a build where its data came from and where they went.

::

    python -m stages.core.trace url https://example.org/page   # what became of a page, or id …
    python -m stages.core.trace host example.org               # and of all pages of a host
    python -m stages.core.trace copies https://example.org/page  # its near duplicates
    python -m stages.core.trace text "some generated text"     # where it stands word for word in the training data
    python -m stages.core.trace step data/pretrain/model 17    # the documents of a training step
    python -m stages.core.trace model data/export              # everything that a model was made of
    python -m stages.core.trace diff HEAD~1                    # what is different from an earlier build, and why
    python -m stages.core.trace takedown                       # what is left of the pages of incoming/takedown.txt

The files that an answer is read from are compared with dvc.lock; what does not agree is said, with exit code 1.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stages.core.errors import HeadwaterError
from stages.core.trace import difference, hosts, models, pages, passages, training, tuning, withdrawal
from stages.core.trace.lineage import Fact, Lineage
from stages.core.untrusted import visible

_LISTED = 12  # values of a list that are shown to a person


def main() -> int:
    """Answer one question; 1 where something does not agree or nothing is found."""
    arguments = _parser().parse_args()
    wrong = False
    try:
        for fact in _facts(Lineage(), arguments):
            wrong |= fact.kind in ("disagrees", "gone") or "problem" in fact.about
            print(json.dumps({"fact": fact.kind, **fact.about}) if arguments.json else shown(fact), flush=True)
    except HeadwaterError as error:
        print(f"error: {visible(str(error))}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # such as of `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return int(wrong)


def _facts(lineage: Lineage, asked: argparse.Namespace) -> Iterator[Fact]:
    try:
        yield from _answer(lineage, asked)
    except HeadwaterError:
        yield from lineage.gone()  # it may be why
        raise
    yield from lineage.gone()  # what the answer may lack


def _answer(lineage: Lineage, asked: argparse.Namespace) -> Iterator[Fact]:
    if asked.about == "text":
        yield from passages.find(lineage, asked.value)
    elif asked.about == "step":
        tuned = tuning.step(lineage, asked.model, asked.number)
        yield from training.step(lineage, asked.model, asked.number) if tuned is None else tuned
    elif asked.about == "model":
        yield from models.ingredients(lineage, asked.model)
    elif asked.about == "diff":
        yield from difference.compare(lineage, asked.revision)
    elif asked.about == "host":
        yield from hosts.told(lineage, asked.value)
    elif asked.about == "takedown":
        yield from withdrawal.check(lineage)
    elif asked.about == "copies":
        for identity in pages.find(lineage, "url", asked.value):
            yield from pages.copies(lineage, identity)
    else:
        found = pages.find(lineage, asked.about, asked.value)
        places = training.located(lineage, found)
        for identity, story in pages.stories(lineage, found):
            yield from story
            yield from training.exposure(lineage, places, [identity])
            yield from tuning.exposure(lineage, [identity])


def shown(fact: Fact) -> str:
    """A fact for a person: its kind, then a line for each value. What pages say is shown, and acts on nothing."""
    return "\n".join([fact.kind, *_lines(fact.about)])


def _lines(about: Mapping[str, Any]) -> Iterator[str]:
    named = [(visible(str(name)), value) for name, value in about.items()]  # such as the n of n-grams
    width = max((len(name) for name, _ in named), default=0)
    for name, value in named:
        if isinstance(value, Mapping):
            yield f"  {name}"
            yield from (f"  {line}" for line in _lines(value))
        else:
            yield f"  {name:{width}}  {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, list):
        shown = ", ".join(map(_value, value[:_LISTED]))
        return shown + f", … ({len(value):,} in all)" * (len(value) > _LISTED) or "none"
    if isinstance(value, Mapping):
        return " ".join(map(_value, value.values()))
    if isinstance(value, float):
        return f"{value:.6g}"
    return " ".join(visible(str(value)).split())


def _parser() -> argparse.ArgumentParser:
    described = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m stages.core.trace", description=__doc__, formatter_class=described)
    form = argparse.ArgumentParser(add_help=False)
    form.add_argument("--json", action="store_true", help="a JSON object on each line")
    about = parser.add_subparsers(dest="about", required=True)
    questions: Iterable[tuple[str, str]] = (
        ("url", "what became of a page"),
        ("id", "the same, by the id of its document"),
        ("host", "what became of all pages of a host, each in a line"),
        ("copies", "the near duplicates of a page, by its URL"),
        ("text", "where a text stands word for word in the training data"),
    )
    for name, help_text in questions:
        about.add_parser(name, help=help_text, parents=[form]).add_argument(
            "value", metavar="URL" if name == "copies" else name.upper()
        )
    step = about.add_parser("step", help="the documents of a training step", parents=[form])
    step.add_argument("model", help="its folder, such as data/pretrain/model")
    step.add_argument("number", type=int, help="from 1")
    model = about.add_parser("model", help="everything that a model was made of", parents=[form])
    model.add_argument("model", help="its folder, such as data/export")
    before = about.add_parser("diff", help="what is different from an earlier build", parents=[form])
    before.add_argument("revision", help="of Git, such as HEAD~1 or a tag")
    about.add_parser("takedown", help="what is left of the pages that were taken down", parents=[form])
    return parser


if __name__ == "__main__":
    sys.exit(main())
