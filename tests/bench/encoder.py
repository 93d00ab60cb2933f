"""Encoders against the default one in fp32: texts a second by length, and which neighbours a text has.

    python -m tests.bench.encoder [--model NAME ...] [--precision P ...] [--chat FILE] [--rounds N] [--json]

Each pair of a model and a precision takes turns with `minilm` in fp32 on one thread, with texts of 16, 32 and 64 tokens
of its own tokenizer: the median of the rounds, and the ratio of both in the same round. `overlap` is the share of a
text's 10 nearest that it has in common with those by `minilm` in fp32, among texts of 12 messages of a recording
(--chat, else of the simulator). A model with other neighbours is not a worse one: the figure tells a smaller or
rounded copy from the original.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from streaming.log.topics import CHAT
from streaming.simulated.config import SimulationConfig
from streaming.simulated.simulate import Platform
from training.content.language_model import SHORT_NAMES
from training.content.text_encoder import TextEncoder
from training.settings import EncoderConfig

LENGTHS = (16, 32, 64)  # tokens
BATCH = 32
MESSAGES, NEIGHBOURS = 12, 10
TEXTS = 400
START_MS = 1_800_000_000_000


def texts_of(chat: Path | None) -> list[str]:
    """Texts of MESSAGES messages each, as a room has them in about 30 s."""
    if chat is None:
        ticks = Platform(SimulationConfig(seed=3, rooms=60)).ticks(START_MS, START_MS + 900_000)
        said = [event.record.text for tick in ticks for event in tick if event.topic == CHAT]
    else:
        said = pq.read_table(chat, columns=["text"])["text"].slice(0, 40 * TEXTS * MESSAGES).to_pylist()
    every = max(MESSAGES, len(said) // TEXTS)
    return [" ".join(said[at : at + MESSAGES]) for at in range(0, len(said) - MESSAGES, every)][:TEXTS]


class Measured:
    """One encoder with texts of each length, which it never finds in its cache."""

    def __init__(self, model: str, precision: str, texts: Sequence[str]) -> None:
        config = EncoderConfig(model=model, precision=precision, cached_texts=1)  # type: ignore[arg-type]
        self.encoder = TextEncoder(config)
        self.neighbours_TK = neighbours(self.encoder.encode(texts))
        words = " ".join(texts).split()
        self.texts = {length: self._of_length(words, length) for length in LENGTHS}

    def _of_length(self, words: Sequence[str], length: int) -> list[str]:
        """Texts of just that many tokens, the padded column included."""
        found, at = [], 0
        while len(found) < BATCH:
            text = ""
            while self._tokens(f"{text} {words[at % len(words)]}") < length:
                text = f"{text} {words[at % len(words)]}"
                at += 1
            found.append(text)
            at += 1
        return found

    def _tokens(self, text: str) -> int:
        return len(self.encoder._tokenizer(self.encoder.as_passage(text))["input_ids"])

    def rate(self, length: int) -> float:
        """Texts a second of one batch."""
        began_s = time.perf_counter()
        self.encoder.encode(self.texts[length])
        return BATCH / (time.perf_counter() - began_s)


def neighbours(vectors_TD: NDArray[np.float16]) -> NDArray[np.int64]:
    """The nearest of each text by cosine, int64 [T, NEIGHBOURS]."""
    wide_TD = vectors_TD.astype(np.float32)
    likeness_TT = wide_TD @ wide_TD.T
    np.fill_diagonal(likeness_TT, -np.inf)
    nearest_TK: NDArray[np.int64] = np.argpartition(-likeness_TT, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    return nearest_TK


def overlap(one_TK: NDArray[np.int64], other_TK: NDArray[np.int64]) -> float:
    """The mean share of neighbours in common."""
    return float(np.mean([len(set(a) & set(b)) / NEIGHBOURS for a, b in zip(one_TK, other_TK, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help=f"as encoder.model; again for more ({', '.join(SHORT_NAMES)})")
    parser.add_argument("--precision", action="append", choices=("fp32", "bf16"), help="again for more (both)")
    parser.add_argument("--chat", type=Path, help="a Parquet file with the text of messages")
    parser.add_argument("--rounds", type=int, default=7, help="batches a figure (7)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args()
    texts = texts_of(args.chat)
    reference = Measured("minilm", "fp32", texts)
    figures: list[dict[str, Any]] = []
    for model in args.model or list(SHORT_NAMES):
        for precision in args.precision or ("fp32", "bf16"):
            print(f"{model} in {precision} ...", file=sys.stderr)
            measured = Measured(model, precision, texts)
            found: dict[str, Any] = {"version": measured.encoder.version}
            for length in LENGTHS:
                pairs = [(measured.rate(length), reference.rate(length)) for _ in range(args.rounds)]
                found[f"texts_per_s_{length}"] = round(statistics.median(own for own, _ in pairs), 1)
                found[f"ratio_{length}"] = round(statistics.median(own / other for own, other in pairs), 2)
            found["overlap"] = round(overlap(measured.neighbours_TK, reference.neighbours_TK), 3)
            figures.append(found)
    if args.json:
        print(json.dumps({"encoders": figures}))
        return
    for found in figures:
        rates = "   ".join(f"{n}: {found[f'texts_per_s_{n}']:6.1f} ({found[f'ratio_{n}']:.2f})" for n in LENGTHS)
        print(f"{found['version']:<34}{rates}   overlap {found['overlap']:.2f}")


if __name__ == "__main__":
    main()
