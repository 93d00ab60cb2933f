"""Diagnostics of a version's towers: how much content counts, and the recall of short vectors. Never ranks.

The ranker hides both: it reads the towers among other features, and a tower that has learned nothing costs it little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.metrics import Interval, share
from training.inference.served_model import Version

PREFIXES = (16, 32, 64)
TOP = 10
INTERACTIONS = ((0, 1), (1, 10), (10, 100), (100, 1_000), (1_000, 2**62))  # visits of a streamer in training

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Gates:
    """The λ of streamers with low ≤ visits < high. mean: None where there are no such streamers."""

    low: int
    high: int
    streamers: int
    mean: float | None


@dataclass(frozen=True, slots=True)
class Towers:
    """The figures of towers. recall: by dimensions, the share of visits with the room in the first ten by prefixes.

    whole: the recall of whole vectors, with its interval.
    """

    gates: Sequence[Gates]
    recall: Mapping[int, float]
    visits: int
    whole: Interval


class TowerRecall:
    """A counter of the ranks of rooms entered, by the inner product of the first dimensions; ties count half."""

    def __init__(self) -> None:
        self._hits: dict[int, list[bool]] = {dimensions: [] for dimensions in PREFIXES}
        self._viewers: list[int] = []

    def add(self, viewer_E: Floats, vectors_NE: Floats, entered: int, viewer: int) -> None:
        """Adds one visit. vectors_NE: of all live rooms. viewer: a number of their own."""
        self._viewers.append(viewer)
        for dimensions in PREFIXES:
            product_N = vectors_NE[:, :dimensions] @ viewer_E[:dimensions]
            above = np.count_nonzero(product_N > product_N[entered])
            equal = np.count_nonzero(product_N == product_N[entered]) - 1
            self._hits[dimensions].append(bool(above + equal / 2 < TOP))

    @property
    def hit_V(self) -> NDArray[np.bool_]:  # noqa: N802  a shape
        """Whether the room entered was in the first ten by whole vectors, at each visit so far, bool [V]."""
        return np.array(self._hits[PREFIXES[-1]], bool)

    @property
    def viewer_V(self) -> NDArray[np.int64]:  # noqa: N802  a shape
        """The viewer of each visit so far."""
        return np.array(self._viewers, np.int64)

    def figures(self, gates: Sequence[Gates], seed: int = 7) -> Towers:
        """The figures so far. seed: of the resamples."""
        visits = len(self._viewers)
        recall = {dimensions: sum(hits) / max(1, visits) for dimensions, hits in self._hits.items()}
        whole = share(self.hit_V, self.viewer_V, seed)
        return Towers(gates, recall, visits, whole)


def gates_of(version: Version, streamers: Sequence[str], visits_S: NDArray[np.int64]) -> list[Gates]:
    """The λ of streamers by their visits. It does not depend on a room's content: the gate reads only the streamer."""
    there_SD = np.ones((len(streamers), version.d_content), np.float32)
    gate_S = version.embed_rooms(streamers, there_SD, there_SD).content_gate_N
    found = []
    for low, high in INTERACTIONS:
        chosen_S = (visits_S >= low) & (visits_S < high)
        mean = float(gate_S[chosen_S].mean()) if chosen_S.any() else None
        found.append(Gates(low, high, int(chosen_S.sum()), mean))
    return found
