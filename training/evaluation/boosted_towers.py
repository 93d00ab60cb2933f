"""Gradient-boosted trees on the inputs of a version's ranker, towers and codes too, to compare the two.

Never trains towers: it uses those of a model in the same evaluation, or of a given version.
"""

from __future__ import annotations

import math
import time

import msgspec
import numpy as np
from numpy.typing import NDArray

from training.boosting.ranker import Boosting, BoostingConfig
from training.evaluation.trained_model import Learned
from training.evaluation.version_on_sets import VersionOnSets
from training.features.features import COLUMN, ROOM_FEATURES, SERVED, VIEWER_FEATURES
from training.fit.learner import LearnConfig
from training.fit.local_fit import HELD_OUT
from training.inference.co_visits import Transitions
from training.inference.interface import RoomEmbeddings
from training.inference.served_model import VersionViewer
from training.model.config import COLD, EXTRA, LEARNED, TOTALS, ModelConfig
from training.recorded.recorded_visits import RecordedVisits

LEARNED_COLUMNS = [COLUMN[name] for name in LEARNED]
TOTAL_COLUMNS = [COLUMN[name] for name in TOTALS]

Floats = NDArray[np.float32]


class BoostedTowers(Boosting):
    """A boosted ranker on exactly the features that a replica can give a ranker.

    It learns from visits that the towers have not seen: about visits they were trained on, they reveal more than about
    others. Like a version's ranker it learns with transitions and totals up to the visit, and hides them for a share of
    the streamers, as if these were unknown. It ranks with the transitions and totals frozen in the version.
    """

    learns_beside = False

    def __init__(self, config: BoostingConfig, towers: Learned, name: str) -> None:
        """towers: the model whose towers are used. It may also rank by itself; the first of the two has it learn."""
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

    def learn(self, past: RecordedVisits) -> None:
        """Grows the trees, after the towers have learned. Raises TrainingError: too few visits for towers."""
        self._towers.learn(past)
        bundle = self._towers.bundle
        if bundle is None:
            raise AssertionError("what has learned is a version")
        learn = msgspec.convert(bundle.manifest.config["learn"], LearnConfig)
        self._unknown_share = msgspec.convert(bundle.manifest.config["model"], ModelConfig).larm.id_dropout
        self._totals_S3 = np.array(Transitions.from_arrays(bundle.arrays).totals_S3)
        self._totals_S3[COLD] = np.nan  # as in training/inference/served_model.py
        usable = past.usable()
        super().learn(usable.between(_seen_by_towers(len(usable), learn), len(usable)))

    def score(self, visits: RecordedVisits) -> NDArray[np.float64]:
        """Scores of the candidates, float64 [R]."""
        score_R, on = np.zeros(len(visits.sets.features_RF)), self._towers.on(visits)
        for place in range(len(visits)):
            viewer, rooms = on.viewer(place), on.rooms(place)
            began_s = time.perf_counter()
            score_R[on.rows(place)] = self._scored(self._served(visits, place, on, viewer, rooms))
            self.request_s += time.perf_counter() - began_s
        return score_R

    def _features(self, visits: RecordedVisits) -> Floats:
        """Features, float32 [R, F], with transitions and totals as frozen in the version, as in a replica."""
        on = self._towers.on(visits)
        places = range(len(visits))
        return np.concatenate([self._served(visits, at, on, on.viewer(at), on.rooms(at)) for at in places])

    def _served(
        self, visits: RecordedVisits, place: int, on: VersionOnSets, viewer: VersionViewer, rooms: RoomEmbeddings
    ) -> Floats:
        features_NF = visits.sets.features_RF[on.rows(place)]
        return _columns(features_NF, on, viewer, rooms, learned_N4=None, totals_N3=self._totals_S3[rooms.rows_N])

    def _taught(self, visits: RecordedVisits) -> Floats:
        """Features, float32 [R, F], with transitions and totals from before each visit, for known streamers only."""
        on = self._towers.on(visits)
        return np.concatenate([self._taught_by(visits, place, on) for place in range(len(visits))])

    def _taught_by(self, visits: RecordedVisits, place: int, on: VersionOnSets) -> Floats:
        features_NF = visits.sets.features_RF[on.rows(place)]
        viewer, rooms = on.viewer(place), on.rooms(place)
        drawn_N = np.random.default_rng((self._seed, int(visits.message_V[place]))).random(len(features_NF))
        unknown = np.flatnonzero(drawn_N < self._unknown_share)
        if len(unknown):
            rooms.put(unknown, on.nobodys_rooms(place, unknown))
        learned_N4, totals_N3 = features_NF[:, LEARNED_COLUMNS], features_NF[:, TOTAL_COLUMNS]
        nobody_N = rooms.rows_N == COLD
        learned_N4[nobody_N], totals_N3[nobody_N] = 0, np.nan
        return _columns(features_NF, on, viewer, rooms, learned_N4=learned_N4, totals_N3=totals_N3)


def _columns(
    features_NF: Floats,
    on: VersionOnSets,
    viewer: VersionViewer,
    rooms: RoomEmbeddings,
    *,
    learned_N4: Floats | None,
    totals_N3: Floats,
) -> Floats:
    """Features of one visit, float32 [N, F], in the order of the names."""
    served_NF, C = features_NF[:, : len(SERVED)], len(ROOM_FEATURES)
    values_NF = on.version.columns(viewer, rooms, served_NF[:, C:], learned_N4)
    return np.concatenate([served_NF[:, :C], values_NF, totals_N3, rooms.content_gate_N[:, None]], axis=1)


def _seen_by_towers(num_sets: int, learn: LearnConfig) -> int:
    """The number of oldest candidate sets that towers learn from, as `Learner` and `fit_version` divide them."""
    until = num_sets - int(num_sets * HELD_OUT)
    return math.ceil(until * learn.towers_share)
