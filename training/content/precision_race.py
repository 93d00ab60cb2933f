"""Measures precisions of one model against fp32, in turn, in some seconds. Never decides, never keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.content.precision import Computed, Measured

RACE_S = 2.0  # by the wall clock, after the models have loaded
LEAST_ROUNDS = 3  # of a large model, which takes longer
BATCH = 8  # texts that come together while some tens of rooms are live
SAID = (
    "what an opening that was, does anybody know how to do it",
    "chop the onions, simmer the sauce and then more garlic and salt",
    "lag again, is the stream down for you too or is it my line",
    "er hat den Turm geopfert und gewinnt trotzdem, unglaublich",
    "esa canción me encanta, ponla otra vez por favor",
    "KEKW OMEGALUL PogChamp no way he did that twice",
    "first time chatting here, how long have you been painting",
    "speedrun pace is two seconds ahead of the record",
)


class Contender(Protocol):
    """An encoder in one precision; `TextEncoder` is one."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        """The vectors of N texts, float16 [N, D]. It may remember texts, and none is given twice to be timed."""


def race(
    contenders: Mapping[Computed, Contender],
    *,
    seconds: float = RACE_S,
    clock_s: Callable[[], float] = time.monotonic,
    spent_s: Callable[[], float] = time.process_time,
) -> list[Measured]:
    """What each did, fp32 first. contenders: fp32 and others; they take turns, each round with texts of its own.

    A batch's time is that of the processor, and the least of all rounds counts: what else the machine does only adds.
    """
    order: list[Computed] = ["fp32", *(name for name in contenders if name != "fp32")]
    fp32_ND = contenders["fp32"].encode(_texts("probe"))
    probes = {name: _probe(contenders[name], fp32_ND) for name in order}
    least_s = dict.fromkeys(order, float("inf"))
    began_s, rounds = clock_s(), 0
    while rounds < LEAST_ROUNDS or clock_s() - began_s < seconds:
        for name in order:
            texts = _texts(f"round {rounds}")
            before_s = spent_s()
            contenders[name].encode(texts)
            least_s[name] = min(least_s[name], spent_s() - before_s)
        rounds += 1
    return [
        Measured(
            precision=name,
            texts_per_s=BATCH / max(least_s[name], 1e-6),
            cosine=probes[name][0],
            steady=probes[name][1],
        )
        for name in order
    ]


def _texts(begin: str) -> list[str]:
    """A batch of texts of full length, each of other words: what rooms say in 30 s."""
    return [f"{begin} {row} {' '.join((SAID[row:] + SAID[:row]) * 2)}" for row in range(BATCH)]


def _probe(contender: Contender, fp32_ND: NDArray[np.float16]) -> tuple[float, bool]:
    """The least cosine to fp32's vectors, and whether texts have the same bytes alone, in pairs and turned round."""
    texts = [*_texts("probe"), *SAID]  # of two lengths
    whole_ND = contender.encode(texts)
    again_ND = np.concatenate(
        [contender.encode(texts[at : at + size]) for at, size in ((0, 1), (1, 2), (3, 5), (8, 1), (9, 7))]
    )
    turned_ND = contender.encode(texts[::-1])[::-1]
    steady = bool(np.array_equal(whole_ND, again_ND) and np.array_equal(whole_ND, turned_ND))
    wide_ND, exact_ND = whole_ND[:BATCH].astype(np.float64), fp32_ND.astype(np.float64)
    norms_N = np.linalg.norm(wide_ND, axis=1) * np.linalg.norm(exact_ND, axis=1)
    cosine_N = (wide_ND * exact_ND).sum(axis=1) / np.maximum(norms_N, 1e-12)
    return float(np.nan_to_num(cosine_N, nan=-1.0).min()), steady
