"""A small real model: a tokenizer learned from a grammar's sentences, and a Llama trained on them for a second."""

import random
from pathlib import Path
from typing import Any

import torch
import transformers

from stages.core import documents
from stages.text import conversion, tokenizers, vocabulary

CONTEXT = 64

_WORDS = {
    "en": ("the page", "a server", "this file", "reads", "writes", "closes", "a request", "the answer", "one log"),
    "de": ("die Seite", "ein Dienst", "diese Datei", "liest", "schreibt", "schließt", "eine Frage", "die Antwort"),
}


def sentences(language: str, seed: int, count: int) -> str:
    """Text in which the next word can be guessed from the one before, with headings and a document's own name."""
    generator = random.Random(seed)
    words = _WORDS[language]
    name = f"n{seed}x"
    lines = [f"# Of {name}"]
    for number in range(count):
        start = generator.randrange(len(words))
        lines.append(" ".join(words[(start + step) % len(words)] for step in range(6)) + f" {name}.")
        if number % 5 == 4:
            lines += ["", f"## What {words[start]} does in {name}", ""]
    return "\n".join(lines)


def document(number: int, language: str = "en", count: int = 24, **changes: Any) -> dict[str, Any]:
    """A document with text from :func:`sentences`."""
    return {
        "id": f"{number:032x}",
        "url": f"https://{language}.example.org/{number}.html",
        "date": "2026-01-01T00:00:00Z",
        "source": "made.warc.gz",
        "offset": number,
        "language": language,
        "language_score": 1.0,
        "title": "",
        "published": "",
        "text": sentences(language, number, count),
        **changes,
    }


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write a document shard."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with documents.Writer(path) as writer:
        for row in rows:
            writer.write(row)
    return path


def train(folder: Path) -> Path:
    """Write a model of 0.1M parameters in the Hugging Face layout, trained on documents 1000 to 1063."""
    texts = [document(1000 + number, ("en", "de")[number % 2])["text"] for number in range(64)]
    folder.mkdir(parents=True)
    (folder / tokenizers.MODEL).write_bytes(vocabulary.learn(texts, 512, 0.9995, 16))
    tokenizer = tokenizers.load(folder)
    conversion.save(conversion.convert(tokenizer), folder)
    config = transformers.LlamaConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=3,
    )
    torch.set_num_threads(1)  # more would wait for each other at this size
    torch.manual_seed(1)
    network = transformers.LlamaForCausalLM(config)
    stream = torch.tensor([token for text in texts for token in (1, *tokenizer.encode(text), 2)])
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(60):
        starts = torch.randint(len(stream) - CONTEXT, (16,)).tolist()
        rows = torch.stack([stream[start : start + CONTEXT] for start in starts])
        optimizer.zero_grad()
        network(rows, labels=rows).loss.backward()
        optimizer.step()
    network.save_pretrained(folder)
    return folder
