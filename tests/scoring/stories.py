"""A small published model, from the layout of llama2.c to the one of transformers: a known score to be reproduced."""

import struct
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

_HEADER = struct.Struct("7i")  # llama2.c, run.c: struct Config


def convert(weights: Path, vocabulary: Path, folder: Path) -> None:
    """Write the model and its tokenizer (``tok512.bin``) to ``folder``.

    The tensors follow each other as ``memory_map_weights`` in llama2.c's run.c reads them; queries and keys there are
    rotated in neighbouring pairs, in transformers in halves, so their rows are put in another order.
    """
    data = weights.read_bytes()
    hidden, intermediate, layers, heads, kv_heads, size, context = _HEADER.unpack_from(data)
    values = torch.from_numpy(np.frombuffer(data, "<f4", offset=_HEADER.size).copy())

    def take(*shape: int) -> torch.Tensor:
        nonlocal values
        count = int(np.prod(shape))
        taken, values = values[:count].view(shape), values[count:]
        return taken

    def halves(weight: torch.Tensor, count: int) -> torch.Tensor:
        return weight.view(count, -1, 2, hidden).transpose(1, 2).reshape(weight.shape)

    width = kv_heads * hidden // heads
    state = {"model.embed_tokens.weight": take(size, hidden)}
    for name, shape in (
        ("input_layernorm", (hidden,)),
        ("self_attn.q_proj", (hidden, hidden)),
        ("self_attn.k_proj", (width, hidden)),
        ("self_attn.v_proj", (width, hidden)),
        ("self_attn.o_proj", (hidden, hidden)),
        ("post_attention_layernorm", (hidden,)),
        ("mlp.gate_proj", (intermediate, hidden)),
        ("mlp.down_proj", (hidden, intermediate)),
        ("mlp.up_proj", (intermediate, hidden)),
    ):
        stacked = take(layers, *shape)
        for layer in range(layers):
            weight = stacked[layer]
            if name.endswith(("q_proj", "k_proj")):
                weight = halves(weight, heads if name.endswith("q_proj") else kv_heads)
            state[f"model.layers.{layer}.{name}.weight"] = weight
    state["model.norm.weight"] = take(hidden)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=size,
            hidden_size=hidden,
            intermediate_size=intermediate,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            max_position_embeddings=context,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            bos_token_id=1,
            eos_token_id=2,
        )
    )
    model.load_state_dict(state)
    model.save_pretrained(folder)
    _tokenizer(vocabulary.read_bytes(), size).save_pretrained(folder)


def _tokenizer(data: bytes, size: int) -> transformers.PreTrainedTokenizerFast:
    """Scores and pieces become merges, the best first; ids 0–2 are control tokens and 3–258 are bytes."""
    offset = 4  # the length of the longest piece
    pieces: list[tuple[float, str]] = []
    for _ in range(size):
        score, length = struct.unpack_from("<fi", data, offset)
        pieces.append((score, data[offset + 8 : offset + 8 + length].decode()))
        offset += 8 + length
    vocabulary = {piece: token for token, (_, piece) in enumerate(pieces)}
    known = {piece for _, piece in pieces[259:]}
    merges = [
        (piece[:cut], piece[cut:])
        for _, piece in sorted(pieces[259:], key=lambda scored: -scored[0])
        for cut in range(1, len(piece))
        if piece[:cut] in known and piece[cut:] in known
    ]
    fast = Tokenizer(models.BPE(vocabulary, merges, unk_token=pieces[0][1], byte_fallback=True, fuse_unk=True))
    fast.normalizer = normalizers.Prepend(" ")
    fast.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    fast.add_special_tokens([AddedToken(pieces[token][1], special=True, normalized=False) for token in range(3)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=fast, bos_token=pieces[1][1], eos_token=pieces[2][1], unk_token=pieces[0][1]
    )
