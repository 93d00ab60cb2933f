"""Diagnostics of a version's towers: how much content counts, and the recall of short vectors. Never ranks.

The ranker hides both: it reads the towers among other features, and a tower that has learned nothing costs it little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    """The figures of towers. recall: by dimensions, the share of visits with the room in the first ten by prefixes."""

    gates: Sequence[Gates]
    recall: Mapping[int, float]
    visits: int


class TowerRecall:
    """A counter of the ranks of rooms entered, by the inner product of the first dimensions; ties count half."""

    def __init__(self) -> None:
        self._hits = dict.fromkeys(PREFIXES, 0)
        self._visits = 0

    def add(self, viewer_E: Floats, vectors_NE: Floats, entered: int) -> None:
        """Adds one visit. vectors_NE: of all live rooms."""
        self._visits += 1
        for dimensions in PREFIXES:
            product_N = vectors_NE[:, :dimensions] @ viewer_E[:dimensions]
            above = np.count_nonzero(product_N > product_N[entered])
            equal = np.count_nonzero(product_N == product_N[entered]) - 1
            self._hits[dimensions] += bool(above + equal / 2 < TOP)

    def figures(self, gates: Sequence[Gates]) -> Towers:
        """The figures so far."""
        recall = {dimensions: hits / max(1, self._visits) for dimensions, hits in self._hits.items()}
        return Towers(gates, recall, self._visits)


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
