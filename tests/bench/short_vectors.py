"""How much of the towers' Recall@10 short content vectors keep, on the same visits and in one run.

    python -m tests.bench.short_vectors --chat FILE [--channels FILE] --train-windows A:B --test-windows C:D
                                        --vectors FOLDER --model MODEL ... [--learn-from N] [--seeds N ...]
                                        [--precision auto|bf16|fp32] [--json]

A MODEL is a short name or a folder, as encoder.model. MODEL:128 stands for the first 128 dimensions of its vectors,
simply cut off and brought to length one; MODEL:axes128 for 128 dimensions after a rotation, the principal axes of its
vectors of what was said before the test. The first MODEL is the whole that the others are compared with.

With each one's vectors the models of `tidecast evaluate` learn their towers from visits of the past, once for each
seed, with streamers known ("both") and by content alone; their ranker, which towers do not depend on, learns nothing.
Recall@10 is of the towers alone, by their inner product, at each visit of the test, and the mean over seeds. `kept` is
its ratio to the whole's. Intervals: 95 %, 1,000 resamples of viewers, the same draws for all; what another seed of
learning does is beside them, by seed. `overlap` is the share of a text's 10 nearest among 2,000 texts of the test that
it has in common with the whole. Vectors are kept in --vectors, as `tidecast evaluate --content` keeps them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaming.recorded.recording import Recording
from streaming.recorded.replay import read_channels
from training.content.encode_missing import encode_missing
from training.content.text_encoder import LazyTextEncoder
from training.content.vector_cache import VectorCache
from training.evaluation.evaluate import EvaluateConfig, wanted
from training.evaluation.learned_rankers import MODELS
from training.evaluation.recorded_examples import Beside, ContentSource, PassedVisits, pass_over
from training.evaluation.tower_diagnostics import TowerRecall
from training.evaluation.trained_model import Learned
from training.examples.dataset import ExampleTexts
from training.fit.local_fit import FitConfig
from training.model.config import LarmConfig, ModelConfig
from training.recorded.chat import Chat, Windows, load, load_texts
from training.recorded.visits import kinds
from training.settings import EncoderConfig, Precision

SIDES = {"both": "tidecast", "content": "tidecast, content only"}
SEGMENT_MS = 30_000
SCORED = 1_024  # visits at a time
RESAMPLES, NEIGHBOURS, COMPARED, SEED = 1_000, 10, 2_000, 11
AXES = "axes"

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """Whether the room entered was in the first ten: by side, of each seed at each visit, bool [S, V]."""

    viewer_V: NDArray[np.int64]
    hit_SV: dict[str, NDArray[np.bool_]] = field(default_factory=dict)


class Said:
    """A receiver of progress that says on stderr what begins, and now and then how far it is."""

    def __init__(self) -> None:
        self._text, self._total, self._tenth = "", 0, 0

    def stage(self, text: str, unit: str = "", total: int | None = None) -> None:
        """Says what begins."""
        self._text, self._total, self._tenth = text, total or 0, 0
        print(text, file=sys.stderr, flush=True)

    def done(self, count: int, total: int | None = None) -> None:
        """Says each tenth."""
        self._total = total or self._total
        if self._total and 10 * count // self._total > self._tenth:
            self._tenth = 10 * count // self._total
            print(f"{self._text}: {count:,} of {self._total:,}", file=sys.stderr, flush=True)

    def encoded(self, done: int, total: int) -> None:
        """As `done`."""
        self.done(done, total)


def unit(vectors_KD: Floats) -> NDArray[np.float16]:
    """Vectors of length one; zeros stay."""
    length_K1 = np.linalg.norm(vectors_KD, axis=1, keepdims=True)
    return np.asarray(vectors_KD / np.where(length_K1 > 0, length_K1, 1), np.float16)


def principal_axes(vectors_ND: Floats) -> Floats:
    """The principal axes of unit vectors, not centred, as cosines are not: columns [D, D], the greatest first."""
    present_ND = vectors_ND[np.any(vectors_ND != 0, axis=1)]
    _, axes_DD = np.linalg.eigh(present_ND.T.astype(np.float64) @ present_ND)
    return np.asarray(axes_DD[:, ::-1], np.float32)


def vectors_of(
    model: str, texts: ExampleTexts, folder: Path, before_K: NDArray[np.bool_], precision: Precision
) -> NDArray[np.float16]:
    """Vectors of the texts by a model as it is named on the command line. before_K: texts of before the test."""
    name, _, shortened = model.partition(":")
    encoder = LazyTextEncoder(EncoderConfig(model=name, precision=precision, cached_texts=1))
    cache = VectorCache(folder, encoder.version, encoder.dimension)
    said = Said()
    said.stage(f"encoding with {name}")
    encode_missing(texts.texts, texts.hash_K, encoder, cache, said)
    whole_KD = cache.vectors(texts.hash_K)
    if not shortened:
        return whole_KD
    first_KD = whole_KD.astype(np.float32)
    if shortened.startswith(AXES):
        _, place_N = np.unique(texts.hash_K[before_K], return_index=True)
        first_KD = first_KD @ principal_axes(first_KD[before_K][place_N])
    return unit(first_KD[:, : int(shortened.removeprefix(AXES))])


def overlap(short_KD: NDArray[np.float16], whole_KD: NDArray[np.float16], rows_N: NDArray[np.intp]) -> float:
    """The mean share of a text's nearest among some texts that are so for both."""
    nearest = []
    for vectors_KD in (short_KD, whole_KD):
        cosine_NN = vectors_KD[rows_N].astype(np.float32) @ vectors_KD[rows_N].astype(np.float32).T
        np.fill_diagonal(cosine_NN, -np.inf)
        nearest.append(np.argpartition(-cosine_NN, NEIGHBOURS, axis=1)[:, :NEIGHBOURS].tolist())
    return float(np.mean([len(set(one) & set(other)) / NEIGHBOURS for one, other in zip(*nearest, strict=True)]))


def hits_of(passed: PassedVisits, vectors_KD: NDArray[np.float16], seeds: Sequence[int]) -> Hits:
    """What towers find that learn with these vectors."""
    reader = passed.reader(vectors_KD)
    past, learned = reader.past(), {}
    for side, name in SIDES.items():
        parts = MODELS[name]
        for seed in seeds:
            learn = replace(FitConfig().learn, coded=parts.codes, seed=seed, ranker_epochs=0)
            config = FitConfig(ModelConfig(larm=LarmConfig(sides=parts.sides)), learn)
            learned[side, seed] = Learned(name, passed.chat, config)
            learned[side, seed].learn(past)
            print(f"learned: {side}, seed {seed}", file=sys.stderr, flush=True)
    del past
    recalls = {key: TowerRecall() for key in learned}
    for shard in reader.rest():
        for first in range(0, len(shard), SCORED):
            visits = shard.between(first, min(first + SCORED, len(shard)))
            entered = list(zip(visits.sets.entered_V.tolist(), visits.viewer_V.tolist(), strict=True))
            for key, one in learned.items():
                on = one.on(visits)
                for place, (room, who) in enumerate(entered):
                    recalls[key].add(on.viewer(place).vector_E, on.rooms(place).vectors_NE, room, who)
    hits = Hits(next(iter(recalls.values())).viewer_V)
    for side in SIDES:
        hits.hit_SV[side] = np.stack([recalls[side, seed].hit_V for seed in seeds])
    return hits


def drawn(viewer_V: NDArray[np.int64], seed: int = SEED) -> NDArray[np.int64]:
    """How often each visit counts in each resample of viewers, int64 [B, U]; U: viewers in order."""
    rng, viewers = np.random.default_rng(seed), len(np.unique(viewer_V))
    return np.stack([np.bincount(rng.integers(0, viewers, viewers), minlength=viewers) for _ in range(RESAMPLES)])


def compared(short: Hits, whole: Hits, side: str, times_BU: NDArray[np.int64]) -> dict[str, Any]:
    """Recall@10 and its ratio to the whole's, with intervals, and both by seed."""
    index_V = np.unique(whole.viewer_V, return_inverse=True)[1]
    visits_B = times_BU @ np.bincount(index_V)
    recall_B, whole_B = (
        times_BU @ np.bincount(index_V, hits.hit_SV[side].mean(axis=0)) / visits_B for hits in (short, whole)
    )
    kept_B = recall_B / whole_B
    by_seed, whole_by_seed = (hits.hit_SV[side].mean(axis=1) for hits in (short, whole))
    return {
        "recall": [float(by_seed.mean()), *np.percentile(recall_B, [2.5, 97.5]).tolist()],
        "kept": [
            float(by_seed.mean() / whole_by_seed.mean()),
            *np.percentile(kept_B, [2.5, 97.5]).tolist(),
        ],
        "recall_by_seed": by_seed.tolist(),
        "kept_by_seed": (by_seed / whole_by_seed).tolist(),
    }


def windows(text: str) -> Windows:
    """A:B as windows."""
    first, _, end = text.partition(":")
    return Windows(int(first), int(end))


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints two lines for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chat", type=Path, required=True)
    parser.add_argument("--channels", type=Path)
    parser.add_argument("--train-windows", type=windows, required=True)
    parser.add_argument("--test-windows", type=windows, required=True)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--model", nargs="+", required=True)
    parser.add_argument("--learn-from", type=int, default=40_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7])
    parser.add_argument("--precision", choices=["auto", "bf16", "fp32"], default="auto")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    file = [Recording.open(given.chat, "chat")]
    chat: Chat = load(file, file, given.train_windows, given.test_windows)
    text_M = load_texts(file, file, given.train_windows, given.test_windows)
    known = read_channels(given.channels) if given.channels else {}
    name = given.model[0].partition(":")[0]
    encoder = LazyTextEncoder(EncoderConfig(model=name, precision=given.precision, cached_texts=1))
    beside = Beside(known, content=ContentSource(text_M, encoder, given.vectors))
    kind_M = kinds(chat)
    asked_M = wanted(chat, kind_M, EvaluateConfig(train_visits=given.learn_from))
    result: dict[str, Any] = {}
    with TemporaryDirectory(prefix="tidecast-short-vectors-") as folder:
        passed = pass_over(chat, kind_M, asked_M, beside, folder=Path(folder) / "examples", progress=Said())
        texts = passed.examples.texts()
        said_K = texts.segment_K >= 0
        before_K = said_K & (SEGMENT_MS * (texts.segment_K + 1) <= chat.at_us_M[chat.num_train] // 1_000)
        test_K = np.flatnonzero(said_K & ~before_K & (texts.hash_K != 0))
        rows_N = np.random.default_rng(SEED).permutation(test_K)[:COMPARED]
        print(f"{len(set(texts.hash_K.tolist())):,} texts", file=sys.stderr, flush=True)
        whole_KD = whole = None
        for model in given.model:
            vectors_KD = vectors_of(model, texts, given.vectors, before_K, given.precision)
            hits = hits_of(passed, vectors_KD, given.seeds)
            if whole is None or whole_KD is None:
                whole_KD, whole, times_BU = vectors_KD, hits, drawn(hits.viewer_V)
            result[model] = {
                "dimensions": vectors_KD.shape[1],
                "overlap": overlap(vectors_KD, whole_KD, rows_N),
                **{side: compared(hits, whole, side, times_BU) for side in SIDES},
            }
            if not given.json:
                print(f"{model}: {vectors_KD.shape[1]} dimensions, overlap {result[model]['overlap']:.2f}", flush=True)
                for side in SIDES:
                    print(f"  {side}: {said_of(result[model][side])}", flush=True)
    if given.json:
        json.dump({"visits": len(whole.viewer_V) if whole else 0, "models": result}, sys.stdout, indent=1)


def said_of(figures: dict[str, Any]) -> str:
    """The figures of a side as text."""
    (recall, low, high), (kept, least, most) = figures["recall"], figures["kept"]
    by_seed = " ".join(f"{one:.4f}" for one in figures["kept_by_seed"])
    return (
        f"Recall@10 {recall:.4f} [{low:.4f}, {high:.4f}], kept {kept:.4f} [{least:.4f}, {most:.4f}], by seed {by_seed}"
    )


if __name__ == "__main__":
    main()
