"""A model and a tokenizer small enough for tests, made the way the stages make them."""

import shutil
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoModelForTokenClassification

from stages.core import documents
from stages.core.params import check
from stages.text import byte_level, conversion, tokenizers, vocabulary
from stages.training import model, objective

SENTENCES = (
    "Install the package, then edit the configuration file and start the server again.",
    "The server reads its configuration from the file that the environment names.",
    "Größe, façade und Übung: die Datei enthält die Einstellungen des Servers.",
    "A table has rows and columns;   spaces\tand\nlines matter in code.",
    "Queries return rows. A query that returns no row is no error.",
)


def write_tokenizer(folder: Path, vocab_size: int = 400) -> None:
    """A sentencepiece tokenizer with its conversion and chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    model = vocabulary.learn([f"{text} {n}" for n in range(4) for text in SENTENCES], vocab_size, 1.0, 16)
    (folder / tokenizers.MODEL).write_bytes(model)
    conversion.save(conversion.convert(tokenizers.load(folder)), folder)


def write_byte_level_tokenizer(folder: Path, vocab_size: int = 400) -> None:
    """A byte-level tokenizer with its chat template, in the place of one that may be there."""
    fast = byte_level.learn([f"{text} {n}" for n in range(4) for text in SENTENCES], vocab_size, 16)
    (folder / tokenizers.MODEL).unlink(missing_ok=True)
    conversion.save(fast, folder)


def write_model(
    folder: Path, *, kind: str = "llama", tied: bool = True, intermediate: int = 48, fill: bool = False
) -> None:
    """A model with random weights: two layers, grouped queries where the kind has them, its tokenizer beside it.

    Args:
        fill: Whether it has the control tokens of filling in the middle.
    """
    control = objective.FILL if fill else ()
    write_tokenizer(folder / "tokenizer")
    model.copy_tokenizer(folder / "tokenizer", folder, control)
    shutil.rmtree(folder / "tokenizer")
    values = {
        "kind": kind,
        "hidden": 32,
        "layers": 2,
        "heads": 4,
        "kv_heads": 4 if kind in ("bert", "gpt2", "gpt_neox") else 2,
        "intermediate": intermediate,
        "rope_theta": 500.0,
        "norm_epsilon": 1e-5,
        "init_std": 0.5,  # so that logits are far apart, and a wrong order of rows far off
        "tied_embeddings": tied,
        "dropout": 0.0,
    }
    built = model.build(check(model.Architecture, values, "model"), vocab_size=400 + len(control), context=64, seed=1)
    stop = [tokenizers.END_OF_TURN, tokenizers.END]
    model.save(built.config, built.state_dict(), folder, stop=stop)


def write_classifier(folder: Path, *, kind: str, ending: str) -> None:
    """A classifier with three labels and random weights, on a model of a kind; ``ending`` is of its class's name."""
    write_model(folder, kind=kind)
    config = AutoConfig.from_pretrained(folder)
    config.num_labels = 3
    torch.manual_seed(1)
    auto = {
        "ForSequenceClassification": AutoModelForSequenceClassification,
        "ForTokenClassification": AutoModelForTokenClassification,
    }[ending]
    auto.from_config(config).save_pretrained(folder)


def write_documents(folder: Path) -> None:
    """A shard of documents: the sentences, numbered."""
    folder.mkdir(parents=True, exist_ok=True)
    with documents.Writer(folder / "00000.parquet") as writer:
        for number in range(40):
            writer.write(
                {
                    "id": f"{number:032x}",
                    "url": f"https://example.org/{number}",
                    "date": "2026-01-01T00:00:00Z",
                    "source": "crawl.warc.gz",
                    "offset": number,
                    "language": "en",
                    "language_score": 0.9,
                    "title": "",
                    "published": "",
                    "text": f"{number}. {SENTENCES[number % len(SENTENCES)]}",
                }
            )
