"""The streamers whose rooms shaped a viewer's content vector, to name whom a room is similar to. Never scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MOST = 8  # visited streamers that a reason may name as similar; 1 KB a viewer


@dataclass(frozen=True, slots=True, eq=False)
class Likened:
    """The content of a viewer's visits, summed by streamer, for those that count most. Vectors as in the index."""

    streamers: tuple[str, ...]
    sums_AE: NDArray[np.float16]

    def nearest(self, vectors_KE: Floats) -> list[str]:
        """Per room the streamer whose visited rooms bring it nearest to the viewer; "" where none does."""
        if not self.streamers or vectors_KE.shape[1] != self.sums_AE.shape[1]:
            return [""] * len(vectors_KE)
        nearness_KA = vectors_KE @ self.sums_AE.astype(np.float32).T
        best_K = nearness_KA.argmax(axis=1)
        is_near_K = nearness_KA[np.arange(len(best_K)), best_K] > 0
        return [
            self.streamers[best] if is_near else ""
            for best, is_near in zip(best_K.tolist(), is_near_K.tolist(), strict=True)
        ]


NOBODY = Likened((), np.zeros((0, 0), np.float16))


def likened(streamers: Sequence[str], weights_V: Floats, vectors_VE: Floats) -> Likened:
    """Sums the content of V visits by streamer. Rows of NaN count for nothing."""
    seen_V = ~np.isnan(vectors_VE[:, 0]) if vectors_VE.size else np.zeros(len(streamers), np.bool_)
    total: dict[str, float] = {}
    for streamer, weight, seen in zip(streamers, weights_V.tolist(), seen_V.tolist(), strict=True):
        if seen:
            total[streamer] = total.get(streamer, 0.0) + weight
    strongest = sorted(total, key=total.__getitem__, reverse=True)[:MOST]
    if not strongest:
        return NOBODY
    part_AV = np.zeros((len(strongest), len(streamers)), np.float32)
    place = {streamer: a for a, streamer in enumerate(strongest)}
    for v, streamer in enumerate(streamers):
        if seen_V[v] and streamer in place:
            part_AV[place[streamer], v] = weights_V[v]
    sums_AE = part_AV[:, seen_V] @ vectors_VE[seen_V]
    longest = float(np.abs(sums_AE).max(initial=0)) or 1.0
    return Likened(tuple(strongest), (sums_AE / np.float32(longest)).astype(np.float16))
