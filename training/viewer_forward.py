"""Owns the viewer tower's answer for one viewer. Never trains, never imports torch.

Equal to training/viewer.py within rounding, by a test for each mixer. What does not depend on a viewer is folded at the
start; of the last block, only what its last visit sees is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training import kernels, network_kernels
from training.mixer_forward import Apart, Array, Weights, build, normal, place, silu
from training.tower_weights import blocks, ends
from training.viewer_config import HARMONICS, KNOTS, ViewerConfig


@dataclass(frozen=True, slots=True)
class History:
    """One viewer's visits, oldest first, as training.viewer.Visits has them; hour: the viewer's, [0, 24), now."""

    item_TD: Array
    action_T: NDArray[np.int64]
    dwell_s_T: Array
    gap_s_T: Array
    since_same_s_T: Array
    hour: float

    def last(self, visits: int) -> History:
        """Its last visits alone."""
        if len(self.item_TD) <= visits:
            return self
        return History(
            self.item_TD[-visits:], self.action_T[-visits:], self.dwell_s_T[-visits:], self.gap_s_T[-visits:],
            self.since_same_s_T[-visits:], self.hour,
        )  # fmt: skip


class ViewerForward:
    """A trained tower. arrays: as in ViewerTower.state_dict(), float32, each name after `prefix`."""

    def __init__(self, config: ViewerConfig, arrays: Mapping[str, NDArray[np.float32]], prefix: str = "") -> None:
        """Raises ConfigError: an array is missing."""
        weights = Weights(arrays, prefix)
        self._config = config
        self._project = weights["project.weight"].T if config.d_item != config.d_model else None
        self._tower = _Compiled(config, weights) if config.mixer == "softmax" else _InNumpy(config, weights)

    def __call__(self, history: History) -> Array:
        """[d_model] float32: the vector for now, from the last max_visits visits. Zeros for a viewer without any."""
        history = history.last(self._config.max_visits)
        if not len(history.item_TD):
            return np.zeros(self._config.d_model, np.float32)
        item_TD = history.item_TD if self._project is None else history.item_TD @ self._project
        y_D = self._tower(item_TD, history)
        return y_D / max(float(np.sqrt(y_D @ y_D)), 1e-12) if self._config.unit else y_D


class _Compiled:
    """A tower whose mixer is softmax, in one kernel: a quarter of the time of a hundred calls of numpy."""

    def __init__(self, config: ViewerConfig, weights: Weights) -> None:
        kernels.load()
        self._ends, self._blocks = ends(config, weights), blocks(config, weights)
        self._acts = config.actions > 0

    def __call__(self, item_TD: Array, history: History) -> Array:
        y_D: Array = network_kernels.viewed(
            np.ascontiguousarray(item_TD),
            history.action_T if self._acts else np.zeros(len(item_TD), np.int64),
            history.dwell_s_T,
            history.gap_s_T,
            history.since_same_s_T,
            history.hour,
            self._ends,
            self._blocks,
        )
        return y_D


class _InNumpy:
    """A tower with any mixer."""

    def __init__(self, config: ViewerConfig, weights: Weights) -> None:
        self._timed = config.timed and config.mixer != "lru"
        self._actions_AD = weights["action.weight"] if config.actions else None
        self._durations = _Durations(weights) if config.timed else None
        self._norm = weights.pair("norm")
        self._blocks = [build(config, weights.of(f"blocks.{i}.")) for i in range(config.blocks)]
        self._last_norm = weights.pair("last_norm")
        self._moment = _Moment(config, weights.of("moment.")) if config.timed or config.hourly else None

    def __call__(self, item_TD: Array, history: History) -> Array:
        x_TD = item_TD
        if self._actions_AD is not None:
            x_TD = x_TD + self._actions_AD[history.action_T]
        if self._durations is not None:
            x_TD = x_TD + self._durations(history)
        x_TD = normal(x_TD) * self._norm[0] + self._norm[1]
        apart = Apart.of(history.gap_s_T) if self._timed else None
        for mix in self._blocks[:-1]:
            x_TD = mix(x_TD, 0, apart)
        y_D: Array = (normal(self._blocks[-1](x_TD, len(x_TD) - 1, apart)) * self._last_norm[0] + self._last_norm[1])[0]
        return y_D if self._moment is None else self._moment(y_D, history)


class _Durations:
    """Three tables of knots, one after the other."""

    def __init__(self, weights: Weights) -> None:
        names = ("dwell", "gap", "since_same")
        self._knots_KD = np.concatenate([weights[f"durations.{name}.knots_KD"] for name in names])
        self._first_D = weights["durations.first_D"]
        self._start_3 = np.arange(3)[:, None] * KNOTS

    def __call__(self, history: History) -> Array:
        seconds_3T = np.zeros((3, len(history.gap_s_T)), np.float32)
        seconds_3T[0], seconds_3T[1, 1:] = history.dwell_s_T, history.gap_s_T[:-1]
        seconds_3T[2] = history.since_same_s_T
        below_3T, share_3T = place(np.maximum(seconds_3T, 0))
        below_3T = below_3T + self._start_3
        low_3TD, high_3TD = self._knots_KD[below_3T], self._knots_KD[below_3T + 1]
        added_3TD = low_3TD + share_3T[..., None] * (high_3TD - low_3TD)
        added_3TD[2, history.since_same_s_T < 0] = self._first_D
        total_TD: Array = added_3TD.sum(0)
        return total_TD


class _Moment:
    def __init__(self, config: ViewerConfig, weights: Weights) -> None:
        self._widen, self._narrow = weights.linear("widen"), weights.linear("narrow")
        self._gap_KD = weights["gap.knots_KD"] if config.timed else None
        self._hour_FD = weights["hour.weight"].T if config.hourly else None

    def __call__(self, y_D: Array, history: History) -> Array:
        wide_D = self._widen(y_D)
        if self._gap_KD is not None:
            below, share = place(np.maximum(history.gap_s_T[-1], 0))
            wide_D += self._gap_KD[below] + share * (self._gap_KD[below + 1] - self._gap_KD[below])
        if self._hour_FD is not None:
            angle_H = np.arange(1, HARMONICS + 1) * (history.hour * 2 * np.pi / 24)
            wide_D += np.concatenate((np.sin(angle_H), np.cos(angle_H)), dtype=np.float32) @ self._hour_FD
        return y_D + self._narrow(silu(wide_D))
