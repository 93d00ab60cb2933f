"""Gradient-boosted trees over the features, LightGBM's lambdarank: the reference that other models must beat.

Only this file imports lightgbm, and only when it learns; it is part of the extra `eval`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streaming.section import Count, Positive, Section
from training.boosting.tree_kernels import LEAVES
from training.boosting.trees import Trees
from training.features.features import FEATURES
from training.recorded.recorded_visits import RecordedVisits

if TYPE_CHECKING:
    import lightgbm


@dataclass(frozen=True, slots=True)
class BoostingConfig(Section):
    """The settings of boosting: how many trees, how large, how fast they learn.

    threads: several wait for each other in a busy loop, which beside other work takes ten times the processor time.
    """

    section: ClassVar[str] = "boosting"

    trees: Count = 300
    leaves: Annotated[int, Meta(ge=2, le=LEAVES)] = 31
    learning_rate: Positive = 0.05
    min_rows_per_leaf: Count = 100
    seed: int = 7
    threads: Count = 1


class MoreColumns(Protocol):
    """Further features of candidates, of the time before the visit."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the K columns."""

    def columns(self, visits: RecordedVisits) -> NDArray[np.float32]:
        """The columns, float32 [R, K]; NaN for unknown values."""


class Boosting:
    """The boosted ranker. It learns once, from visits of the training part."""

    learns_beside = True

    def __init__(self, config: BoostingConfig | None = None) -> None:
        self.name = "boosting"
        self._names = tuple(FEATURES)
        self._config = config or BoostingConfig()
        self._booster: lightgbm.Booster | None = None
        self._trees: Trees | None = None

    @staticmethod
    def available() -> bool:
        """Whether lightgbm is installed."""
        try:
            import lightgbm  # noqa: F401, PLC0415
        except ImportError:
            return False
        return True

    def learn(self, past: RecordedVisits) -> None:
        """Grows the trees. Leaves out visits with one candidate, and positives outside the candidates."""
        import lightgbm  # noqa: PLC0415

        usable = past.usable()
        if not len(usable):
            return
        features_RF = self._taught(usable)
        entered_R = np.zeros(len(features_RF), np.int8)
        entered_R[usable.entered_R] = 1
        config, sizes = self._config, usable.sets.size_V.tolist()
        data = lightgbm.Dataset(features_RF, entered_R, group=sizes, feature_name=list(self._names), free_raw_data=True)
        self._booster = lightgbm.train(
            {
                "objective": "lambdarank",
                "lambdarank_truncation_level": 10,
                "learning_rate": config.learning_rate,
                "num_leaves": config.leaves,
                "min_data_in_leaf": config.min_rows_per_leaf,
                "seed": config.seed,
                "deterministic": True,
                "force_row_wise": True,
                "num_threads": min(config.threads, os.cpu_count() or 1),
                "verbosity": -1,
            },
            data,
            num_boost_round=config.trees,
        )
        self._trees = Trees(self._booster.dump_model())

    def score(self, visits: RecordedVisits) -> NDArray[np.float64]:
        """Scores of the candidates, float64 [R]. Zeros where nothing was learned: popularity then breaks the ties."""
        return self._scored(self._features(visits))

    def importance(self) -> dict[str, float]:
        """Each feature's share of the total gain, largest first."""
        if self._booster is None:
            return {}
        gain_F = self._booster.feature_importance("gain")
        order_F = np.argsort(-gain_F, kind="stable")
        return {self._names[index]: float(gain_F[index] / max(gain_F.sum(), 1e-9)) for index in order_F}

    def _scored(self, features_RF: NDArray[np.float32]) -> NDArray[np.float64]:
        """The sums of the trees, float64 [R]."""
        return np.zeros(len(features_RF)) if self._trees is None else self._trees(features_RF)

    def _features(self, visits: RecordedVisits) -> NDArray[np.float32]:
        """Features of visits to be scored, float32 [R, F]."""
        return visits.sets.features_RF

    def _taught(self, visits: RecordedVisits) -> NDArray[np.float32]:
        """Features of visits to be learned from, float32 [R, F]."""
        return self._features(visits)


class BoostingWithMore(Boosting):
    """The boosted ranker with more columns."""

    def __init__(self, config: BoostingConfig, more: MoreColumns, name: str) -> None:
        super().__init__(config)
        self.name = name
        self._names = (*FEATURES, *more.names)
        self._more = more

    def _features(self, visits: RecordedVisits) -> NDArray[np.float32]:
        return np.concatenate([visits.sets.features_RF, self._more.columns(visits)], axis=1)
