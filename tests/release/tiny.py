"""A model and a tokenizer small enough for tests, made the way the stages make them."""

from pathlib import Path

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from stages.core import documents
from stages.text import byte_level, conversion, tokenizers, vocabulary

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


def write_model(folder: Path, *, tied: bool = True, intermediate: int = 48) -> None:
    """A Llama with random weights: two layers, grouped queries, its tokenizer beside it."""
    write_tokenizer(folder)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=intermediate,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=tied,
        initializer_range=0.5,  # so that logits are far apart, and a wrong order of rows far off
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        bos_token_id=tokenizers.BEGIN,
        eos_token_id=[tokenizers.END_OF_TURN, tokenizers.END],
        pad_token_id=tokenizers.PAD,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id
    )
    model.save_pretrained(folder)


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
