"""EleutherAI's lm-evaluation-harness on a model of ours: its tasks, our log-likelihoods."""

import difflib
import json
import logging
import math
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import datasets
import yaml
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.task import Task
from lm_eval.defaults import DEFAULT_OTHER_SEED
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.core.progress import meter
from stages.core.runtime import profile
from stages.core.shards import Metrics
from stages.scoring import cloze, metrics, questions
from stages.scoring.generation import chat, continue_all, talks
from stages.scoring.likelihood import Scorer, Windows

# lm-evaluation-harness gives no error at all for 0, and the error of a mean, which has a formula, for any other number.
# Those of other figures are drawn here (questions.py), from sums: of chrF it would count all n-grams again each time.
_BOOTSTRAP = 2

ChatTemplate = Literal["tuned", "always", "never"]
"""Which models are asked in conversation: those that were tuned to end an answer, all, or none."""


@params
class Tasks:
    """Tasks of lm-evaluation-harness."""

    names: tuple[str, ...]
    """Tasks, groups or tags, of the user's YAML files or of lm-evaluation-harness, besides the held-out cloze task."""
    chat_template: ChatTemplate
    """Which models tasks that ask for text are put to as the words of a user; the others continue them."""
    windows: Windows
    """How texts are cut and put into batches."""


class HeadwaterLM(TemplateLM):
    """A :class:`Scorer` as lm-evaluation-harness wants it; a text begins with the token that begins a text.

    Args:
        scorer: The model.
        label: Of the progress display.
        chat_template: Whether it is asked for text in conversation.
    """

    def __init__(self, scorer: Scorer, label: str, chat_template: ChatTemplate) -> None:
        super().__init__()
        self.scorer = scorer
        self.label = label
        self.asked = chat_template == "always" or (chat_template == "tuned" and talks(scorer))

    @property
    def eot_token_id(self) -> int:
        """Token that ends a text."""
        return self.scorer.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        """Token that begins a text."""
        return self.scorer.begin

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Ids of ``string``, behind the token that begins a text unless told otherwise."""
        before = [] if add_special_tokens is False else [self.scorer.begin]
        return [*before, *self.scorer.encode(string)]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Log-likelihood of each request's continuation after its context, and whether it is the greedy one."""
        return super().loglikelihood(requests, disable_tqdm)

    def _loglikelihood_tokens(self, requests: list[Any], **_: Any) -> list[tuple[float, bool]]:
        pairs = [(tuple(context), tuple(continuation)) for _, context, continuation in requests]
        unique = list(dict.fromkeys(pairs))
        texts = [self.scorer.windows(context, continuation) for context, continuation in unique]
        with meter(self.label, sum(len(w.tokens) - 1 for text in texts for w in text), "tokens") as progress:
            scores = dict(zip(unique, self.scorer.score(texts, progress.advance), strict=True))
        return [(-scores[pair].nats, scores[pair].greedy) for pair in pairs]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = True) -> list[float]:
        """Log-likelihood of each request's whole text."""
        pairs = [("", [self.scorer.begin], self.scorer.encode(request.args[0])) for request in requests]
        return [score for score, _ in self._loglikelihood_tokens(pairs)]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """Greedy continuation of each request's context up to the strings that end it."""
        alike: dict[tuple[tuple[str, ...], int], list[int]] = {}
        for index, request in enumerate(requests):
            alike.setdefault(_generation(request.args[1]), []).append(index)
        texts = [""] * len(requests)
        with meter(self.label, len(requests), "texts") as progress:
            for (until, limit), indices in alike.items():
                prompts = [self._prompt(requests[index].args[0], limit) for index in indices]
                written = continue_all(self.scorer, prompts, until, limit, progress.advance)
                for index, text in zip(indices, written, strict=True):
                    texts[index] = text
        return texts

    def _prompt(self, text: str, limit: int) -> list[int]:
        return chat(self.scorer, text, limit) if self.asked else self.tok_encode(text)


def _generation(options: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
    """Strings that end a text, and tokens at most."""
    until = options.get("until", ())
    limit = options.get("max_gen_toks", options.get("max_new_tokens", 256))
    return (until,) if isinstance(until, str) else tuple(until), int(limit)


def measure(tasks: Tasks, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Run tasks on a model: ``inputs`` are the model, the folder of the cloze task and the folder of the user's tasks.

    Writes ``figures`` (JSON): for each task its questions, its metrics with standard errors and, where a task is a
    choice, the accuracy of guessing and how many standard errors the model is above it; ``questions`` (Parquet): what
    each question adds to these figures; ``answers`` (JSON lines): what the model wrote where a task asks for text.

    Raises:
        HeadwaterError: a task is not known (the nearest is named) or cannot be loaded.
    """
    folder, made, own = inputs
    figures, measures, answers = {}, [], []
    with _quiet():
        loaded = load(tasks.names, made, own)
        if loaded["tasks"]:
            label = f"tasks, {outputs['figures'].stem}"
            model = HeadwaterLM(Scorer(folder, tasks.windows), label, tasks.chat_template)
            found = evaluate(model, loaded, bootstrap_iters=_BOOTSTRAP, log_samples=True)
            measures = [
                one for name, asked in found["samples"].items() for one in _measures(loaded["tasks"][name], asked)
            ]
            drawn = {one.metric for one in measures if one.rule != "ratio"}
            for name, results in found["results"].items():
                errors = {one.metric: one.error() for one in measures if one.task == name}
                figures[name] = _figures(loaded["tasks"].get(name), results, errors, drawn)
            answers = [
                line for name, asked in found["samples"].items() for line in _answers(loaded["tasks"][name], asked)
            ]
    outputs["figures"].write_text(json.dumps(figures, sort_keys=True), "utf-8")
    questions.write(outputs["questions"], measures)
    outputs["answers"].write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in answers), "utf-8")
    return {"in": len(figures), "out": len(figures)}


def load(names: Sequence[str], made: Path, own: Path) -> dict[str, Any]:
    """Tasks and groups by name, and the cloze task in the folder ``made`` if it has questions.

    A name is looked for in the YAML files of the folder ``own`` first and then in lm-evaluation-harness itself.

    Raises:
        HeadwaterError: see :func:`measure`.
    """
    metrics.register()
    manager = TaskManager(include_path=own, include_defaults=False)
    if not set(names) <= set(manager.all_tasks):
        manager = TaskManager(include_path=own)  # 14,683 tasks in version 0.4.13, which take 12 s to read
    for name in names:
        if name not in manager.all_tasks:
            close = difflib.get_close_matches(name, manager.all_tasks, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise HeadwaterError(f"params.yaml: evaluate.tasks: no task is named {name!r} here or in {own}{hint}")
    wanted: list[Any] = list(names)
    cut = made / f"{cloze.NAME}.jsonl"
    if cut.stat().st_size:
        task = yaml.safe_load((made / f"{cloze.NAME}.yaml").read_text("utf-8"))
        wanted.append({**task, "dataset_kwargs": {"data_files": {"test": str(cut.resolve())}}})
    try:
        loaded = manager.load(wanted)
    except (OSError, ValueError, KeyError, TypeError, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error).split())
        raise HeadwaterError(f"params.yaml: evaluate.tasks: {', '.join(names)} cannot be loaded: {reason}") from None
    for task in loaded["tasks"].values():
        if task.get_config("num_fewshot") is None:
            task.set_config("num_fewshot", 0)
        task.set_fewshot_seed(DEFAULT_OTHER_SEED)
    return dict(loaded)


def _name(metric: str, rule: str) -> str:
    """Of a figure, by metric and by the rule that took the answer out of the text (``filter_list`` of the YAML)."""
    return metric if rule == "none" else f"{metric}_{rule}"


def _measures(task: Task, asked: Sequence[Mapping[str, Any]]) -> Iterator[questions.Measure]:
    """The figures of a task question by question."""
    for rule in sorted({sample["filter"] for sample in asked}):
        samples = [sample for sample in asked if sample["filter"] == rule]
        names = [sample["doc_hash"][:16] for sample in samples]
        groups = [sample["doc"]["id"] for sample in samples] if task.task_name == cloze.NAME else ()
        for metric in samples[0]["metrics"]:
            aggregation = getattr(task.aggregation().get(metric), "__name__", "")
            values = [sample[metric] for sample in samples]
            better = bool(task.higher_is_better().get(metric, True))
            if one := questions.measure(task.task_name, _name(metric, rule), aggregation, better, names, values):
                yield replace(one, groups=groups)


def _answers(task: Task, asked: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    if task.OUTPUT_TYPE != "generate_until":
        return
    for sample in asked:
        (prompt, _), *_ = sample["arguments"]
        answer, target = sample["filtered_resps"][0], str(sample["target"])
        yield {"task": task.task_name, "prompt": prompt, "reference": target, "answer": str(answer)}


def _figures(
    task: Task | None, found: Mapping[str, Any], errors: Mapping[str, float | None], drawn: Set[str]
) -> dict[str, Any]:
    """What is worth keeping of a task's results, or of a group's (``task`` is None): no paths, no dates.

    Args:
        errors: Standard errors of the task's figures.
        drawn: Figures whose error has no formula, so that none is known for a group of tasks.
    """
    figures: dict[str, Any] = {}
    for key, value in found.items():
        metric, comma, rule = key.partition(",")
        name = _name(metric, rule)
        unknown = metric.endswith("_stderr") and _name(metric.removesuffix("_stderr"), rule) in drawn
        if comma and isinstance(value, (int, float)) and not unknown:
            figures[name] = float(value)
    figures |= {f"{name}_stderr": error for name, error in errors.items() if error is not None}
    figures["questions"] = int(found.get("sample_len", 0))
    if task is None or task.OUTPUT_TYPE != "multiple_choice" or task.multiple_target:
        return figures
    figures["chance"] = chance = statistics.fmean(1 / len(task.doc_to_choice(doc)) for doc in task.eval_docs)
    # At least the error of guessing: all answers right would otherwise have none, and be infinitely far from chance.
    guessing = math.sqrt(chance * (1 - chance) / len(task.eval_docs))
    for name in ("acc", "acc_norm", "acc_bytes"):
        if name in figures:
            error = max(figures.get(f"{name}_stderr", 0.0), guessing)
            figures[f"{name}_stderrs_above_chance"] = (figures[name] - chance) / error
    return figures


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' logs and bars off the terminal, and their caches in the work area unless the user says where.

    ``datasets`` keys its cache by the path of a local file; those of the work area are named by their content.
    """
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    logging.getLogger("datasets").setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    if "HF_DATASETS_CACHE" not in os.environ:
        datasets.config.HF_DATASETS_CACHE = profile().work / "datasets"
    os.environ["DISABLE_MULTIPROC"] = "1"  # the bootstrap would fork a process that has torch's threads
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        yield
