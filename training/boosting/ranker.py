"""Gradient-boosted trees over the features, LightGBM's lambdarank: the reference that other models must beat.

Only this file imports lightgbm, and only when it learns; it is part of the extra `eval`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streaming.section import Count, Positive, Section
from training.boosting.tree_kernels import LEAVES
from training.boosting.trees import Trees
from training.features.features import FEATURES
from training.recorded.replay_state import Moment, Observer

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


class MoreColumns(Observer, Protocol):
    """Further features of a moment, from the chat before it."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the K columns."""

    def columns(self, moment: Moment) -> NDArray[np.float32]:
        """The columns, float32 [N, K]; NaN for unknown values."""


class Boosting:
    """The boosted ranker. It learns once, from moments of the training part, and scores one moment at a time."""

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

    def learn(self, past: Sequence[Moment]) -> None:
        """Grows the trees. Leaves out moments with one candidate, and positives outside the candidates."""
        import lightgbm  # noqa: PLC0415

        usable = [moment for moment in past if len(moment.live_N) > 1 and not moment.surprise]
        if not usable:
            return
        sizes = [len(moment.live_N) for moment in usable]
        features_RF = np.concatenate([self._noted(moment) for moment in usable])
        entered_R = np.zeros(len(features_RF), np.int8)
        entered_R[np.cumsum([0, *sizes[:-1]]) + [moment.entered for moment in usable]] = 1
        config = self._config
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

    def score(self, moment: Moment) -> NDArray[np.float64]:
        """Scores of the candidates, float64 [N]. Zeros where nothing was learned: popularity then breaks the ties."""
        return self._scored(self._features(moment))

    def importance(self) -> dict[str, float]:
        """Each feature's share of the total gain, largest first."""
        if self._booster is None:
            return {}
        gain_F = self._booster.feature_importance("gain")
        order_F = np.argsort(-gain_F, kind="stable")
        return {self._names[index]: float(gain_F[index] / max(gain_F.sum(), 1e-9)) for index in order_F}

    def _scored(self, features_NF: NDArray[np.float32]) -> NDArray[np.float64]:
        """The sums of the trees, float64 [N]."""
        return np.zeros(len(features_NF)) if self._trees is None else self._trees(features_NF)

    def _features(self, moment: Moment) -> NDArray[np.float32]:
        """Features of a moment to be scored, float32 [N, F]."""
        return moment.features_NF

    def _noted(self, moment: Moment) -> NDArray[np.float32]:
        """Features of a moment to be learned from, float32 [N, F]."""
        return moment.features_NF


class BoostingWithMore(Boosting):
    """The boosted ranker with more columns. It follows the chat, and notes these columns of moments to learn from."""

    def __init__(self, config: BoostingConfig, more: MoreColumns, name: str) -> None:
        super().__init__(config)
        self.name = name
        self._names = (*FEATURES, *more.names)
        self._more = more
        self._kept: dict[int, NDArray[np.float32]] = {}  # by message

    def apply(self, at_us: int, viewer: int, channel: int, kind: int) -> None:
        """Applies one message, in time order."""
        self._more.apply(at_us, viewer, channel, kind)

    def note(self, moment: Moment) -> None:
        """Keeps the columns as they are now."""
        self._kept[moment.message] = self._more.columns(moment)

    def learn(self, past: Sequence[Moment]) -> None:
        """Grows the trees from moments that were noted."""
        super().learn(past)
        self._kept.clear()

    def _features(self, moment: Moment) -> NDArray[np.float32]:
        return np.concatenate([moment.features_NF, self._more.columns(moment)], axis=1)

    def _noted(self, moment: Moment) -> NDArray[np.float32]:
        return np.concatenate([moment.features_NF, self._kept[moment.message]], axis=1)
