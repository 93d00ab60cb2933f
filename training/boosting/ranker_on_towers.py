"""Gradient-boosted trees that see what a version's ranker sees, towers and codes too: should they rank in its place?

Never trains towers: those of a version of the same evaluation are asked, or of one that was given.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from training.boosting.ranker import Boosting, BoostingConfig
from training.evaluation.trained_model import Learned
from training.features.features import COLUMN, ROOM_FEATURES, SERVED, VIEWER_FEATURES
from training.fit.learner import LearnConfig
from training.fit.local_fit import HELD_OUT
from training.inference.co_visits import Transitions
from training.inference.interface import RoomEmbeddings
from training.inference.served_model import VersionViewer
from training.model.config import COLD, EXTRA, LEARNED, TOTALS, ModelConfig
from training.recorded.replay_state import Moment

LEARNED_COLUMNS = [COLUMN[name] for name in LEARNED]
TOTAL_COLUMNS = [COLUMN[name] for name in TOTALS]

Floats = NDArray[np.float32]


class BoostedTowers(Boosting):
    """As the class that it derives from, of all that a replica can tell a ranker, and of nothing else.

    It learns from the visits that the towers have not seen: of those that they know by heart they say more than they
    will of others. As the ranker of a version it learns with moves and totals up to the visit, and without them for a
    share of the streamers, of whom nothing is known; it ranks with those that the version knew when it was trained.
    """

    learns_beside = False

    def __init__(self, config: BoostingConfig, towers: Learned, name: str) -> None:
        """towers: whoever learns first has them learn, so they may be ranked by themselves as well."""
        super().__init__(config)
        self.name = name
        self._names = (
            *ROOM_FEATURES,
            *VIEWER_FEATURES,
            *LEARNED,
            *(extra for extra in EXTRA if extra != "gate"),
            *TOTALS,
            "gate",
        )
        self._seed, self._towers = config.seed, towers
        self.request_s = 0.0

    def learn(self, past: Sequence[Moment]) -> None:
        """Raises TrainingError: there is too little for towers to learn from."""
        self._towers.learn(past)
        bundle = self._towers.bundle
        if bundle is None:
            raise AssertionError("what has learned is a version")
        learn = msgspec.convert(bundle.manifest.config["learn"], LearnConfig)
        self._unknown_share = msgspec.convert(bundle.manifest.config["model"], ModelConfig).larm.id_dropout
        self._totals_S3 = np.array(Transitions.from_arrays(bundle.arrays).totals_S3)
        self._totals_S3[COLD] = np.nan  # as training/inference/served_model.py has it
        usable = [moment for moment in past if len(moment.live_N) > 1 and not moment.surprise]
        super().learn(usable[_seen_by_towers(len(usable), learn) :])

    def score(self, moment: Moment) -> NDArray[np.float64]:
        """As the class that it derives from."""
        replayed = self._towers.replayed
        viewer, rooms = replayed.viewer(moment), replayed.rooms(moment)
        began_s = time.perf_counter()
        score_N = self._scored(self._served(moment, viewer, rooms))
        self.request_s += time.perf_counter() - began_s
        return score_N

    def _features(self, moment: Moment) -> Floats:
        """[N, F] with moves and totals as frozen in the version: what a replica has."""
        replayed = self._towers.replayed
        return self._served(moment, replayed.viewer(moment), replayed.rooms(moment))

    def _served(self, moment: Moment, viewer: VersionViewer, rooms: RoomEmbeddings) -> Floats:
        return self._columns(moment, viewer, rooms, None, self._totals_S3[rooms.rows_N])

    def _noted(self, moment: Moment) -> Floats:
        """[N, F] with moves and totals of the time before the visit, of the streamers known."""
        replayed = self._towers.replayed
        viewer, rooms = replayed.viewer(moment), replayed.rooms(moment)
        unknown_N = np.random.default_rng((self._seed, moment.message)).random(len(moment.live_N)) < self._unknown_share
        unknown = np.flatnonzero(unknown_N)
        if len(unknown):
            rooms.put(unknown, replayed.nobodys_rooms(moment, unknown))
        learned_N4, totals_N3 = moment.features_NF[:, LEARNED_COLUMNS], moment.features_NF[:, TOTAL_COLUMNS]
        nobody_N = rooms.rows_N == COLD
        learned_N4[nobody_N], totals_N3[nobody_N] = 0, np.nan
        return self._columns(moment, viewer, rooms, learned_N4, totals_N3)

    def _columns(
        self, moment: Moment, viewer: VersionViewer, rooms: RoomEmbeddings, learned_N4: Floats | None, totals_N3: Floats
    ) -> Floats:
        """[N, F] by the names."""
        served_NF = moment.features_NF[:, : len(SERVED)]
        values_NF = self._towers.replayed.version.columns(viewer, rooms, served_NF[:, len(ROOM_FEATURES) :], learned_N4)
        return np.concatenate(
            [served_NF[:, : len(ROOM_FEATURES)], values_NF, totals_N3, rooms.content_gate_N[:, None]], axis=1
        )


def _seen_by_towers(num_slates: int, learn: LearnConfig) -> int:
    """How many of the slates, the oldest: as `Learner` draws them of those that `fit_version` learns from."""
    until = num_slates - int(num_slates * HELD_OUT)
    return math.ceil(until * learn.towers_share)
