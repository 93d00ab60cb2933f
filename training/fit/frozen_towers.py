"""Owns what towers and codes give the ranker once they stand still: as rooms are, and as if nobody knew their streamer.

A streamer first seen after training has the cold embedding, no visits and no moves. A ranker that never met one takes
"no visits" for "nobody goes there". So in each batch a share of the streamers is unknown, rooms of theirs and all.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.features.features import COLUMN
from training.model.batches import (
    CandidateBatch,
    CandidateSets,
    ProjectedContent,
    TrainingBatch,
    candidate_batch,
    candidate_rows,
    training_batch,
)
from training.model.config import COLD, LEARNED, TOTALS
from training.model.model import Model

LEARNED_COLUMNS = [COLUMN[name] for name in LEARNED]
TOTAL_COLUMNS = [COLUMN[name] for name in TOTALS]


class FrozenTowers:
    """Of R rows of slates: EXTRA as they are, and as they are of an unknown streamer."""

    def __init__(
        self, model: Model, candidate_sets: CandidateSets, batch: int, visits: int, projected: ProjectedContent | None
    ) -> None:
        """batch: slates at a time. visits: of each past, at most. The model is asked, and left as it is."""
        self._candidate_sets = candidate_sets
        known, cold = [], []
        with torch.no_grad():
            for start in range(0, len(candidate_sets), batch):
                chosen = np.arange(start, min(start + batch, len(candidate_sets)))
                some = training_batch(candidate_sets, chosen, visits, projected)
                past = model.past(some)  # of the viewers, who are the same to both
                viewer_BE = model.viewer(some, past)
                known.append(model.extra(some, past, viewer_BE))
                cold.append(model.extra(_unknown(some), past, viewer_BE))
        self._known_RX, self._cold_RX = torch.cat(known), torch.cat(cold)

    def choices(
        self, chosen_B: NDArray[np.intp], share: float, rng: np.random.Generator
    ) -> tuple[CandidateBatch, Tensor]:
        """The slates chosen and EXTRA of their rooms, [R, X]; of a share of the streamers nothing is known."""
        choices = candidate_batch(self._candidate_sets, chosen_B)
        row_R = candidate_rows(self._candidate_sets, chosen_B)
        streamer_R = self._candidate_sets.streamer_R[row_R]
        cold_R = torch.from_numpy((rng.random(int(streamer_R.max()) + 1) < share)[streamer_R] | (streamer_R == COLD))
        rows = torch.from_numpy(row_R)
        extra_RX = torch.where(cold_R[:, None], self._cold_RX[rows], self._known_RX[rows])
        features_RF = choices.features_RF.clone()
        features_RF[:, LEARNED_COLUMNS] *= ~cold_R[:, None]
        features_RF[:, TOTAL_COLUMNS] = features_RF[:, TOTAL_COLUMNS].masked_fill(cold_R[:, None], float("nan"))
        return replace(choices, features_RF=features_RF), extra_RX


def _unknown(batch: TrainingBatch) -> TrainingBatch:
    return replace(batch, streamer_R=torch.full_like(batch.streamer_R, COLD))
