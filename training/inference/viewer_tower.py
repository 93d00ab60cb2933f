"""The viewer tower for one viewer, in one compiled call. Imports no torch.

Equal to training/model/viewer_tower.py within rounding, by a test for each mixer. Weights are packed once at the start.
Of the last block only the last visit's output is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.inference import network_kernels, warm_up
from training.inference.packed_weights import BLOCKS, PrefixedArrays, pack_ends
from training.viewer_config import MixerKind, ViewerConfig

Floats = NDArray[np.float32]

VIEWER_VECTOR: Mapping[MixerKind, Callable[..., Floats]] = {
    "softmax": network_kernels.viewer_vector_softmax,
    "hstu": network_kernels.viewer_vector_hstu,
    "lru": network_kernels.viewer_vector_lru,
}


@dataclass(frozen=True, slots=True)
class VisitHistory:
    """One viewer's T visits, oldest first, with columns as in training.model.viewer_tower.Visits.

    hour: the viewer's hour now, [0, 24).
    """

    item_TD: Floats
    action_T: NDArray[np.int64]
    dwell_s_T: Floats
    gap_s_T: Floats
    since_same_s_T: Floats
    hour: float

    def last(self, visits: int) -> VisitHistory:
        """The last `visits` visits alone."""
        if len(self.item_TD) <= visits:
            return self
        return VisitHistory(
            self.item_TD[-visits:], self.action_T[-visits:], self.dwell_s_T[-visits:], self.gap_s_T[-visits:],
            self.since_same_s_T[-visits:], self.hour,
        )  # fmt: skip


class ViewerForward:
    """The viewer tower in compiled code. arrays: as in ViewerTower.state_dict(), float32, each name after `prefix`."""

    def __init__(self, config: ViewerConfig, arrays: Mapping[str, NDArray[np.float32]], prefix: str = "") -> None:
        """Packs the weights. Raises ConfigError: an array is missing."""
        warm_up.compile_all()
        own = PrefixedArrays(arrays, prefix)
        self._config = config
        self._project = own["project.weight"].T if config.d_item != config.d_model else None
        self._ends, self._blocks = pack_ends(config, own), BLOCKS[config.mixer](config, own)
        self._viewer_vector = VIEWER_VECTOR[config.mixer]

    def __call__(self, history: VisitHistory) -> Floats:
        """The viewer's vector for now, float32 [d_model], from the last max_visits visits; zeros without any."""
        history = history.last(self._config.max_visits)
        if not len(history.item_TD):
            return np.zeros(self._config.d_model, np.float32)
        item_TD = history.item_TD if self._project is None else history.item_TD @ self._project
        y_D: Floats = self._viewer_vector(
            np.ascontiguousarray(item_TD),
            history.action_T if self._config.actions else np.zeros(len(item_TD), np.int64),
            history.dwell_s_T,
            history.gap_s_T,
            history.since_same_s_T,
            history.hour,
            self._ends,
            self._blocks,
        )
        return y_D / max(float(np.sqrt(y_D @ y_D)), 1e-12) if self._config.unit else y_D
