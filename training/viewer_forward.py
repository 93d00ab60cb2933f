"""Owns the viewer tower's answer for one viewer, in numpy. Never trains, never imports torch.

Equal to training/viewer.py within rounding, by a test for each mixer. What does not depend on a viewer is folded at the
start; of the last block, only what its last visit sees is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streaming.errors import ConfigError
from training.viewer_config import HARMONICS, KNOT_STEP, KNOTS, ViewerConfig

Array = NDArray[np.float32]
EPSILON = 1e-5  # torch.nn.LayerNorm's
SMALLEST = 1e-290  # the last power of a recurrence's factor: still a double, as its inverse is


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
        weights = _Weights(arrays, prefix)
        self._config = config
        self._project = weights["project.weight"].T if config.d_item != config.d_model else None
        self._actions_AD = weights["action.weight"] if config.actions else None
        self._durations = _Durations(weights) if config.timed else None
        self._norm = weights.pair("norm")
        kinds = {"softmax": _Softmax, "hstu": _Hstu, "lru": _Lru}
        self._blocks: list[_Block] = [
            kinds[config.mixer](config, weights.of(f"blocks.{i}.")) for i in range(config.blocks)
        ]
        self._last_norm = weights.pair("last_norm")
        self._moment = _Moment(config, weights.of("moment.")) if config.timed or config.hourly else None

    def __call__(self, history: History) -> Array:
        """[d_model] float32: the vector for now, from the last max_visits visits. Zeros for a viewer without any."""
        history = history.last(self._config.max_visits)
        if not len(history.item_TD):
            return np.zeros(self._config.d_model, np.float32)
        x_TD = history.item_TD if self._project is None else history.item_TD @ self._project
        if self._actions_AD is not None:
            x_TD = x_TD + self._actions_AD[history.action_T]
        if self._durations is not None:
            x_TD = x_TD + self._durations(history)
        x_TD = _normal(x_TD) * self._norm[0] + self._norm[1]
        apart = _Apart.of(history.gap_s_T) if self._config.timed and self._config.mixer != "lru" else None
        for mix in self._blocks[:-1]:
            x_TD = mix(x_TD, 0, apart)
        y_D: Array = (_normal(self._blocks[-1](x_TD, len(x_TD) - 1, apart)) * self._last_norm[0] + self._last_norm[1])[
            0
        ]
        if self._moment is not None:
            y_D = self._moment(y_D, history)
        return y_D / max(float(np.sqrt(y_D @ y_D)), 1e-12) if self._config.unit else y_D


class _Weights:
    """Arrays by the end of their names."""

    def __init__(self, arrays: Mapping[str, Array], prefix: str) -> None:
        self._arrays, self._prefix = arrays, prefix

    def __getitem__(self, name: str) -> Array:
        if self._prefix + name not in self._arrays:
            raise ConfigError(f"the viewer tower has no array {self._prefix + name}: its configuration is another's")
        return np.asarray(self._arrays[self._prefix + name], np.float32)

    def of(self, prefix: str) -> _Weights:
        return _Weights(self._arrays, self._prefix + prefix)

    def pair(self, name: str) -> tuple[Array, Array]:
        return self[f"{name}.weight"], self[f"{name}.bias"]

    def linear(self, name: str, norm: str = "", rows: slice = slice(None)) -> _Linear:
        """A layer, and what a norm before it scales and adds."""
        weight_OI, bias_O = self[f"{name}.weight"][rows], self[f"{name}.bias"][rows]
        if norm:
            scale_I, shift_I = self.pair(norm)
            weight_OI, bias_O = weight_OI * scale_I, bias_O + weight_OI @ shift_I
        return _Linear(np.ascontiguousarray(weight_OI.T), bias_O)


@dataclass(frozen=True, slots=True)
class _Linear:
    weight_IO: Array
    bias_O: Array

    def __call__(self, x: Array) -> Array:
        y = x @ self.weight_IO
        y += self.bias_O
        return y


class _Block(Protocol):
    def __call__(self, x_TD: Array, first: int, apart: _Apart | None) -> Array:
        """[T - first, D]: outputs from place `first` on."""


@dataclass(frozen=True, slots=True)
class _Apart:
    """How far apart in time visits are: between which knots of a time bias, and where between them."""

    below_TT: NDArray[np.intp]
    share_TT: Array

    @classmethod
    def of(cls, gap_s_T: Array) -> _Apart:
        at_s_T = np.cumsum(gap_s_T, dtype=np.float64) - gap_s_T
        apart_s_TT = np.maximum(at_s_T[:, None] - at_s_T, 0).astype(np.float32)
        return cls(*_place(apart_s_TT))


class _Bias:
    """What attention adds by distance, and what it hides."""

    def __init__(self, config: ViewerConfig, weights: _Weights) -> None:
        visits_HK = weights["bias.visits_HK"]
        place_T = np.arange(config.max_visits)
        apart_TT = place_T[:, None] - place_T
        self._visits_HTT = np.where(apart_TT < 0, np.float32(-1e4), visits_HK[:, np.maximum(apart_TT, 0)])
        self._time_HK = weights["bias.time_HK"] if config.timed else None

    def __call__(self, length: int, first: int, apart: _Apart | None) -> Array:
        bias_HQT: Array = self._visits_HTT[:, first:length, :length]
        if apart is None or self._time_HK is None:
            return bias_HQT
        below_QT, share_QT = apart.below_TT[first:], apart.share_TT[first:]
        low_HQT = self._time_HK.take(below_QT, 1)
        timed_HQT = self._time_HK.take(below_QT + 1, 1)
        timed_HQT -= low_HQT
        timed_HQT *= share_QT
        timed_HQT += low_HQT
        timed_HQT += bias_HQT
        return timed_HQT


class _FeedForward:
    def __init__(self, weights: _Weights) -> None:
        self._widen, self._narrow = weights.linear("ffn.widen", "ffn.norm"), weights.linear("ffn.narrow")

    def add_to(self, x_QD: Array) -> Array:
        x_QD += self._narrow(_silu(self._widen(_normal(x_QD))))
        return x_QD


class _Softmax:
    def __init__(self, config: ViewerConfig, weights: _Weights) -> None:
        d = config.d_model
        self._heads = config.heads
        self._q, self._kv = (weights.linear("qkv", "norm", rows) for rows in (slice(0, d), slice(d, None)))
        self._scale = np.float32((d // config.heads) ** -0.5)
        self._out, self._bias, self._ffn = weights.linear("out"), _Bias(config, weights), _FeedForward(weights)

    def __call__(self, x_TD: Array, first: int, apart: _Apart | None) -> Array:
        z_TD = _normal(x_TD)
        q_HQE = _split(self._q(z_TD[first:]) * self._scale, self._heads)
        k_HTE, v_HTE = (_split(part, self._heads) for part in np.split(self._kv(z_TD), 2, axis=1))
        score_HQT = q_HQE @ k_HTE.transpose(0, 2, 1)
        score_HQT += self._bias(len(x_TD), first, apart)
        score_HQT -= score_HQT.max(-1, keepdims=True)
        np.exp(score_HQT, out=score_HQT)
        score_HQT /= score_HQT.sum(-1, keepdims=True)
        mixed_HQE: Array = score_HQT @ v_HTE
        kept_QD: Array = x_TD[first:] + self._out(_join(mixed_HQE))
        return self._ffn.add_to(kept_QD)


class _Hstu:
    def __init__(self, config: ViewerConfig, weights: _Weights) -> None:
        d = config.d_model
        self._heads, self._scale = config.heads, np.float32(1 / config.max_visits)
        self._uvqk = weights.linear("uvqk", "norm")
        self._vk = weights.linear("uvqk", "norm", np.r_[d : 2 * d, 3 * d : 4 * d])
        self._uq = weights.linear("uvqk", "norm", np.r_[:d, 2 * d : 3 * d])
        self._mixed_norm, self._out, self._bias = (
            weights.pair("mixed_norm"),
            weights.linear("out"),
            _Bias(config, weights),
        )

    def __call__(self, x_TD: Array, first: int, apart: _Apart | None) -> Array:
        z_TD = _normal(x_TD)
        v_TD, k_TD = np.split(_silu(self._vk(z_TD)), 2, axis=1)
        u_QD, q_QD = np.split(_silu(self._uq(z_TD[first:])), 2, axis=1)
        score_HQT = _split(q_QD, self._heads) @ _split(k_TD, self._heads).transpose(0, 2, 1)
        score_HQT += self._bias(len(x_TD), first, apart)
        mixed_QD = _join(_silu(score_HQT) @ _split(v_TD * self._scale, self._heads))
        return x_TD[first:] + self._out((_normal(mixed_QD) * self._mixed_norm[0] + self._mixed_norm[1]) * u_QD)


class _Lru:
    def __init__(self, config: ViewerConfig, weights: _Weights) -> None:
        decay_D = np.exp(weights["nu_D"].astype(np.float64))
        radius_D = np.maximum(np.exp(-decay_D), SMALLEST ** (1 / config.max_visits))  # 1e-6 at 50: as good as 0
        lambda_D = radius_D * np.exp(1j * np.exp(weights["theta_D"].astype(np.float64)))
        self._power_TD = lambda_D ** np.arange(config.max_visits)[:, None]
        self._inverse_TD = 1 / self._power_TD
        gamma_D = np.sqrt(-np.expm1(-2 * decay_D)).astype(np.float32)
        into = weights.linear("into", "norm")
        both_E = np.r_[gamma_D, gamma_D]
        self._into = _Linear(into.weight_IO * both_E, into.bias_O * both_E)
        self._out, self._ffn = weights.linear("out"), _FeedForward(weights)

    def __call__(self, x_TD: Array, first: int, apart: _Apart | None) -> Array:
        """States by one cumulative sum, h_t = λ^t Σ λ^-s x_s, in doubles: recent terms are the largest of the sum."""
        del apart
        real_TD, imaginary_TD = np.split(self._into(_normal(x_TD)), 2, axis=1)
        given_TD = (real_TD + 1j * imaginary_TD) * self._inverse_TD[: len(x_TD)]
        sum_QD = given_TD.sum(0, keepdims=True) if first else np.cumsum(given_TD, axis=0)
        state_QD = sum_QD * self._power_TD[first : len(x_TD)]
        parts_QE = np.concatenate((state_QD.real, state_QD.imag), axis=1, dtype=np.float32)
        return self._ffn.add_to(x_TD[first:] + self._out(parts_QE))


class _Durations:
    """Three tables of knots, one after the other."""

    def __init__(self, weights: _Weights) -> None:
        names = ("dwell", "gap", "since_same")
        self._knots_KD = np.concatenate([weights[f"durations.{name}.knots_KD"] for name in names])
        self._first_D = weights["durations.first_D"]
        self._start_3 = np.arange(3)[:, None] * KNOTS

    def __call__(self, history: History) -> Array:
        seconds_3T = np.zeros((3, len(history.gap_s_T)), np.float32)
        seconds_3T[0], seconds_3T[1, 1:] = history.dwell_s_T, history.gap_s_T[:-1]
        seconds_3T[2] = history.since_same_s_T
        below_3T, share_3T = _place(np.maximum(seconds_3T, 0))
        below_3T = below_3T + self._start_3
        low_3TD, high_3TD = self._knots_KD[below_3T], self._knots_KD[below_3T + 1]
        added_3TD = low_3TD + share_3T[..., None] * (high_3TD - low_3TD)
        added_3TD[2, history.since_same_s_T < 0] = self._first_D
        total_TD: Array = added_3TD.sum(0)
        return total_TD


class _Moment:
    def __init__(self, config: ViewerConfig, weights: _Weights) -> None:
        self._widen, self._narrow = weights.linear("widen"), weights.linear("narrow")
        self._gap_KD = weights["gap.knots_KD"] if config.timed else None
        self._hour_FD = weights["hour.weight"].T if config.hourly else None

    def __call__(self, y_D: Array, history: History) -> Array:
        wide_D = self._widen(y_D)
        if self._gap_KD is not None:
            below, share = _place(np.maximum(history.gap_s_T[-1], 0))
            wide_D += self._gap_KD[below] + share * (self._gap_KD[below + 1] - self._gap_KD[below])
        if self._hour_FD is not None:
            angle_H = np.arange(1, HARMONICS + 1) * (history.hour * 2 * np.pi / 24)
            wide_D += np.concatenate((np.sin(angle_H), np.cos(angle_H)), dtype=np.float32) @ self._hour_FD
        return y_D + self._narrow(_silu(wide_D))


def _place(seconds: Array) -> tuple[NDArray[np.intp], Array]:
    """The knot below a duration, and the share of the way to the next."""
    place = np.minimum(np.log1p(seconds, dtype=np.float32) * np.float32(1 / KNOT_STEP), np.float32(KNOTS - 1.001))
    below = place.astype(np.intp)
    return below, place - below.astype(np.float32)


def _normal(x_TD: Array) -> Array:
    """Rows with mean 0 and variance 1."""
    size = x_TD.shape[-1]
    centred_TD: Array = x_TD - (x_TD @ np.full(size, 1 / size, np.float32))[:, None]
    variance_T = np.einsum("td,td->t", centred_TD, centred_TD) / np.float32(size)
    centred_TD /= np.sqrt(variance_T + np.float32(EPSILON))[:, None]
    return centred_TD


def _silu(x: Array) -> Array:
    with np.errstate(over="ignore"):  # exp(1e4) is infinite, and one over it is the 0 that is meant
        y = np.exp(-x)
    y += 1
    np.divide(x, y, out=y)
    return y


def _split(x_TD: Array, heads: int) -> Array:
    return x_TD.reshape(len(x_TD), heads, -1).transpose(1, 0, 2)


def _join(x_HTE: Array) -> Array:
    return x_HTE.transpose(1, 0, 2).reshape(x_HTE.shape[1], -1)
