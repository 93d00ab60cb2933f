"""Encoders against the default one in fp32: texts a second by length, and which neighbours a text has.

    python -m tests.bench.encoder [--model NAME ...] [--precision P ...] [--chat FILE] [--rounds N] [--json]

Each pair of a model and a precision takes turns with `minilm` in fp32 on one thread, with texts of 16, 32 and 64 tokens
of its own tokenizer: the median of the rounds, and the ratio of both in the same round. `overlap` is the share of a
text's 10 nearest that it has in common with those by `minilm` in fp32, among 400 segments of a recording (--chat, else
of the simulator): 30 s of a room's chat each. A model with other neighbours is not a worse one: the figure tells a
smaller or rounded copy from the original.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaming.log.topics import CHAT
from streaming.recorded.recording import Recording
from streaming.room.window import SEGMENT_MS, ChatWindow
from streaming.room.window_config import WindowConfig
from streaming.simulated.config import SimulationConfig
from streaming.simulated.simulate import Platform
from training.content.language_model import SHORT_NAMES
from training.content.text_encoder import TextEncoder
from training.settings import EncoderConfig

LENGTHS = (16, 32, 64)  # tokens
BATCH = 32
NEIGHBOURS = 10
TEXTS = 400
LEAST_MESSAGES = 4  # of a segment: of fewer there is little to read
START_MS = 1_800_000_000_000


def texts_of(chat: Path | None) -> list[str]:
    """Texts of segments, each 30 s of a room's chat as a RoomWorker writes them, spread over all that is there."""
    segments: dict[tuple[str, int], list[tuple[str, str, int]]] = {}
    for room, viewer, text, at_ms in _simulated() if chat is None else _recorded(chat):
        segments.setdefault((room, at_ms // SEGMENT_MS), []).append((viewer, text, at_ms))
    lively = [segments[key] for key in sorted(segments) if len(segments[key]) >= LEAST_MESSAGES]
    return [_text(lively[at * len(lively) // TEXTS]) for at in range(min(TEXTS, len(lively)))]


def _text(messages: Sequence[tuple[str, str, int]]) -> str:
    window = ChatWindow(WindowConfig())
    for offset, (viewer, text, at_ms) in enumerate(messages):
        window.add(viewer, text, at_ms, offset, at_ms)
    return window.text()


def _simulated() -> Iterator[tuple[str, str, str, int]]:
    for tick in Platform(SimulationConfig(seed=3, rooms=60, talking_share=0.0)).ticks(START_MS, START_MS + 900_000):
        for event in tick:
            if event.topic == CHAT:
                yield event.record.room, event.record.viewer, event.record.text, event.record.at_ms


def _recorded(chat: Path) -> Iterator[tuple[str, str, str, int]]:
    recording = Recording.open(chat, "chat")
    room = "channel" if "channel" in recording.columns else "room"
    for batch in recording.batches((room, "viewer", "text", "at_us")):
        at_ms = (batch["at_us"] // 1_000).tolist()
        texts = (batch[name].to_pylist() for name in (room, "viewer", "text"))
        yield from zip(*texts, at_ms, strict=True)


class Measured:
    """One encoder with texts of each length, which it never finds in its cache."""

    def __init__(self, encoder: TextEncoder, texts: Sequence[str]) -> None:
        self.encoder = encoder
        self.vectors_TD = encoder.encode(texts)
        self.neighbours_TK = neighbours(self.vectors_TD)
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


def encoder_of(model: str, precision: str) -> TextEncoder:
    """An encoder that remembers one text."""
    return TextEncoder(EncoderConfig(model=model, precision=precision, cached_texts=1))


def rates(measured: Measured, reference: Measured, rounds: int) -> dict[str, float]:
    """By length: texts a second, and the ratio to the reference in the same rounds; and the neighbours in common."""
    found = {}
    for length in LENGTHS:
        pairs = [(measured.rate(length), reference.rate(length)) for _ in range(rounds)]
        found[f"texts_per_s_{length}"] = round(statistics.median(own for own, _ in pairs), 1)
        found[f"ratio_{length}"] = round(statistics.median(own / other for own, other in pairs), 2)
    found["overlap"] = round(overlap(measured.neighbours_TK, reference.neighbours_TK), 3)
    return found


def line_of(figures: Mapping[str, Any]) -> str:
    """What `rates` found, as text."""
    shown = "   ".join(f"{n}: {figures[f'texts_per_s_{n}']:6.1f} ({figures[f'ratio_{n}']:.2f})" for n in LENGTHS)
    return f"{figures['version']:<34}{shown}   overlap {figures['overlap']:.2f}"


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
    parser.add_argument("--chat", type=Path, help="a recording of chat, as `tidecast replay` takes it")
    parser.add_argument("--rounds", type=int, default=7, help="batches a figure (7)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args()
    texts = texts_of(args.chat)
    reference = Measured(encoder_of("minilm", "fp32"), texts)
    figures: list[dict[str, Any]] = []
    for model in args.model or [name for name, short in SHORT_NAMES.items() if short.installed()]:
        for precision in args.precision or ("fp32", "bf16"):
            print(f"{model} in {precision} ...", file=sys.stderr)
            measured = Measured(encoder_of(model, precision), texts)
            figures.append({"version": measured.encoder.version, **rates(measured, reference, args.rounds)})
    print(json.dumps({"encoders": figures}) if args.json else "\n".join(line_of(found) for found in figures))


if __name__ == "__main__":
    main()
