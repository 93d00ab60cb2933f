"""Whether numbers in words make what rooms' texts say of who else comes better: audience and age, as percentiles.

    python -m tests.bench.number_words --chat FILE --examples FOLDER [--model NAME|FOLDER] [--pairs N] [--json]

Before a room's chat stands "audience: high, top 20 percent. live for: long, top 10 percent." The audience is the
messages of the last 5 minutes, the age the time since half an hour of silence, each by its place among the rooms live
when the text was closed, so nothing later is in it. A projection to 64 dimensions, as the towers have for content,
learns from the rooms that one viewer visited (older three quarters of the pairs) and is tried on the newer: of 64 pairs
of one time, the share of texts whose own partner is the nearest, and is among the ten nearest; means of three seeds,
with a 95 % interval by resampling pairs. `dealt` has the words of other texts. `gain` is the difference to the chat
alone. --examples: those of a training, training.folder/run/examples.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import nn

from streaming.room.window import SEGMENT_MS
from training.content.text_encoder import TextEncoder
from training.examples.dataset import ExampleSet
from training.fine_tuning.pairs_of_examples import PairsConfig, pairs_of_examples
from training.fine_tuning.text_pairs import TextPairs
from training.settings import EncoderConfig

SEED, SEEDS, RESAMPLES = 11, 3, 1_000
RECENT, SILENT = 10, 60  # segments: of the audience, and of the silence before which nothing counts
DIMENSION, EPOCHS, RATE, TEMPERATURE, BATCH = 64, 20, 3e-3, 0.1, 64
LEARNED = 0.75  # of the pairs, the older
LEVELS = ("very low", "low", "medium", "high", "very high")
AGES = ("very short", "short", "medium", "long", "very long")

Floats = NDArray[np.float64]


class RoomNumbers:
    """Audience and age of the rooms live in each segment of a recording, by their place among them."""

    def __init__(self, segment_N: NDArray[np.int64], streamer_N: NDArray[np.intp], streamers: int) -> None:
        """segment_N, streamer_N: of each message."""
        self._first = int(segment_N.min())
        self._rows: dict[int, tuple[Floats, Floats]] = {}
        order_N = np.argsort(segment_N, kind="stable")
        segments, starts = np.unique(segment_N[order_N], return_index=True)
        recent: list[tuple[int, NDArray[np.int64]]] = []
        heard_S, began_S = np.full(streamers, -(10**12)), np.zeros(streamers, np.int64)
        for segment, said in zip(segments.tolist(), np.split(streamer_N[order_N], starts[1:]), strict=True):
            count_S = np.bincount(said, minlength=streamers)
            speaks_S = count_S > 0
            began_S[speaks_S & (segment - heard_S > SILENT)] = segment
            heard_S[speaks_S] = segment
            recent = [(at, of_S) for at, of_S in recent if at > segment - RECENT] + [(segment, count_S)]
            audience_S = np.sum([of_S for _, of_S in recent], axis=0)
            live_S = audience_S > 0
            self._rows[segment] = (_place(audience_S, live_S), _place(segment - began_S, live_S))

    def words(self, segment: int, streamer: int) -> str:
        """What stands before a text."""
        audience, age = (float(place_S[streamer]) for place_S in self._rows[segment])
        return f"audience: {_said(audience, LEVELS)}. live for: {_said(age, AGES)}. "


def _place(number_S: NDArray[np.int64], live_S: NDArray[np.bool_]) -> Floats:
    """The share of the live rooms that are below each, those with the same number counting half."""
    live = np.sort(number_S[live_S])
    below_S, not_above_S = (np.searchsorted(live, number_S, side) for side in ("left", "right"))
    result: Floats = (below_S + not_above_S) / (2 * len(live))
    return result


def _said(place: float, levels: Sequence[str]) -> str:
    return f"{levels[min(int(5 * place), 4)]}, top {10 * (10 - min(int(10 * place), 9))} percent"


def hits(vectors_ND: NDArray[np.float32], pairs: TextPairs, seed: int) -> NDArray[np.bool_]:
    """Whether the partner of each newer pair's left text is the nearest, and among the ten nearest: bool [N, 2]."""
    torch.manual_seed(seed)
    older, newer = (_part(pairs, old=old) for old in (True, False))
    mean_D = vectors_ND[older.left_P].mean(axis=0)
    vectors = nn.functional.normalize(torch.from_numpy(vectors_ND - mean_D), dim=1)
    layer = nn.Linear(vectors.shape[1], DIMENSION, bias=False)
    optimizer = torch.optim.AdamW(layer.parameters(), RATE)

    def cosines(some: TextPairs, places_B: NDArray[np.intp]) -> torch.Tensor:
        left, right = (
            nn.functional.normalize(layer(vectors[rows_P[places_B].tolist()]), dim=1)
            for rows_P in (some.left_P, some.right_P)
        )
        barred_BB = torch.from_numpy(some.together_BB(places_B)) & ~torch.eye(len(places_B), dtype=torch.bool)
        result: torch.Tensor = (left @ right.T).masked_fill(barred_BB, -torch.inf)
        return result

    for epoch in range(EPOCHS):
        for places_B in older.batches(BATCH, seed, epoch):
            own = torch.arange(len(places_B))
            score_BB = cosines(older, places_B) / TEMPERATURE
            loss = nn.functional.cross_entropy(score_BB, own) + nn.functional.cross_entropy(score_BB.T, own)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    found = []
    with torch.no_grad():
        for places_B in newer.batches(BATCH, SEED, 0):
            cosine_BB = cosines(newer, places_B)
            above_B = (cosine_BB > cosine_BB.diagonal()[:, None]).sum(1).numpy()
            found.append(np.stack([above_B < 1, above_B < 10], axis=1))
    return np.concatenate(found)


def _part(pairs: TextPairs, *, old: bool) -> TextPairs:
    end = int(LEARNED * len(pairs))
    rows = slice(0, end) if old else slice(end, None)
    columns = ("left_P", "right_P", "left_room_P", "right_room_P", "at_P", "kind_P")
    return TextPairs(pairs.texts, *(getattr(pairs, column)[rows] for column in columns))


def interval(values_N: Floats) -> list[float]:
    """The mean, and both ends of its 95 % interval by resampling."""
    drawn = np.random.default_rng(SEED).integers(0, len(values_N), (RESAMPLES, len(values_N)))
    low, high = np.percentile(values_N[drawn].mean(axis=1), [2.5, 97.5])
    return [round(float(one), 4) for one in (values_N.mean(), low, high)]


def measured(chat: Path, folder: Path, model: str, most: int) -> dict[str, Any]:
    """The figures of chat alone, with numbers in words, and with those of other texts."""
    examples = ExampleSet(folder)
    pairs = pairs_of_examples(examples, PairsConfig(most=most, later_share=0.0, title_share=0.0))
    place_of = {name: number for number, name in enumerate(examples.streamers)}
    table = pq.read_table(chat, columns=["at", "channel"])
    streamer_N = np.array([place_of.get(name, -1) for name in table["channel"].to_pylist()])
    at_ms_N = table["at"].to_numpy().astype("datetime64[ms]").astype(np.int64)
    known_N = streamer_N >= 0
    numbers = RoomNumbers(at_ms_N[known_N] // SEGMENT_MS, streamer_N[known_N], len(examples.streamers))
    texts = examples.texts()
    of_text: dict[str, str] = {}
    for place in np.argsort(texts.segment_K, kind="stable").tolist():  # a text said twice has the numbers of the first
        segment, streamer = int(texts.segment_K[place]), int(examples.streamer_of_room[texts.room_K[place]])
        if segment >= 0:
            of_text.setdefault(texts.texts[place], numbers.words(segment, streamer))
    words = [of_text[text] for text in pairs.texts]
    other = np.random.default_rng(SEED).permutation(len(words)).tolist()
    encoder = TextEncoder(EncoderConfig(model=model))
    variants = {
        "chat alone": list(pairs.texts),
        "numbers in words": [said + text for said, text in zip(words, pairs.texts, strict=True)],
        "dealt": [words[place] + text for place, text in zip(other, pairs.texts, strict=True)],
    }
    result: dict[str, Any] = {"pairs": len(pairs), "texts": len(pairs.texts)}
    base_N2: Floats | None = None
    for name, some in variants.items():
        vectors_ND = encoder.encode(some).astype(np.float32)
        found_N2 = np.mean([hits(vectors_ND, pairs, seed) for seed in range(SEEDS)], axis=0)
        base_N2 = found_N2 if base_N2 is None else base_N2
        result[name] = {
            measure: {"share": interval(found_N2[:, place]), "gain": interval(found_N2[:, place] - base_N2[:, place])}
            for place, measure in enumerate(("nearest", "ten nearest"))
        }
        print(name, result[name], file=sys.stderr, flush=True)
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chat", type=Path, required=True)
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--pairs", type=int, default=6_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    result = measured(given.chat, given.examples, given.model, given.pairs)
    if given.json:
        json.dump(result, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
