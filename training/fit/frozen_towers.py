"""Frozen outputs of towers and codes for the ranker's phase, with each streamer as known and as unknown. Never learns.

A streamer first seen after training has the cold embedding, no visits and no transitions. A ranker that never saw one
would read "no visits" as "nobody goes there". So in each batch a share of the streamers, with all their rooms, is made
unknown.
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
    """Frozen outputs of the towers for R rows: the ranker's EXTRA inputs, with known and with unknown streamers."""

    def __init__(
        self, model: Model, candidate_sets: CandidateSets, batch: int, visits: int, projected: ProjectedContent | None
    ) -> None:
        """Runs the model once over all candidate sets, and leaves it as it is.

        batch: candidate sets at a time. visits: past visits of each at most.
        """
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
        """The chosen candidate sets and the EXTRA inputs of their rooms [R, X].

        share: of the streamers, how many are made unknown.
        """
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
