"""Owns the answers of the mixers hstu and lru for one viewer, in numpy. Never trains, never imports torch.

Equal to training/mixers.py within rounding, by a test. What does not depend on a viewer is folded at the start: a
norm's scale and shift go into the layer after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streaming.errors import ConfigError
from training.viewer_config import KNOT_STEP, KNOTS, ViewerConfig

Array = NDArray[np.float32]
EPSILON = 1e-5  # torch.nn.LayerNorm's
SMALLEST = 1e-290  # the last power of a recurrence's factor: still a double, as its inverse is


class Weights:
    """Arrays by the end of their names."""

    def __init__(self, arrays: Mapping[str, Array], prefix: str) -> None:
        self._arrays, self._prefix = arrays, prefix

    def __getitem__(self, name: str) -> Array:
        if self._prefix + name not in self._arrays:
            raise ConfigError(f"the viewer tower has no array {self._prefix + name}: its configuration is another's")
        return np.asarray(self._arrays[self._prefix + name], np.float32)

    def of(self, prefix: str) -> Weights:
        return Weights(self._arrays, self._prefix + prefix)

    def pair(self, name: str) -> tuple[Array, Array]:
        return self[f"{name}.weight"], self[f"{name}.bias"]

    def linear(self, name: str, norm: str = "", rows: slice | NDArray[np.intp] = slice(None)) -> Linear:
        """A layer, and what a norm before it scales and adds."""
        weight_OI, bias_O = self[f"{name}.weight"][rows], self[f"{name}.bias"][rows]
        if norm:
            scale_I, shift_I = self.pair(norm)
            weight_OI, bias_O = weight_OI * scale_I, bias_O + weight_OI @ shift_I
        return Linear(np.ascontiguousarray(weight_OI.T), bias_O)


@dataclass(frozen=True, slots=True)
class Linear:
    """A layer."""

    weight_IO: Array
    bias_O: Array

    def __call__(self, x: Array) -> Array:
        y = x @ self.weight_IO
        y += self.bias_O
        return y


class Block(Protocol):
    """A mixer's block."""

    def __call__(self, x_TD: Array, first: int, apart: Apart | None) -> Array:
        """[T - first, D]: outputs from place `first` on."""


@dataclass(frozen=True, slots=True)
class Apart:
    """How far apart in time visits are: between which knots of a time bias, and where between them."""

    below_TT: NDArray[np.intp]
    share_TT: Array

    @classmethod
    def of(cls, gap_s_T: Array) -> Apart:
        at_s_T = np.cumsum(gap_s_T, dtype=np.float64) - gap_s_T
        apart_s_TT = np.maximum(at_s_T[:, None] - at_s_T, 0).astype(np.float32)
        return cls(*place(apart_s_TT))


def build(config: ViewerConfig, weights: Weights) -> Block:
    """The block of hstu or lru; softmax is compiled (network_kernels.py). Raises ConfigError: an array is missing."""
    return Hstu(config, weights) if config.mixer == "hstu" else Lru(config, weights)


class _Bias:
    """What attention adds by distance, and what it hides."""

    def __init__(self, config: ViewerConfig, weights: Weights) -> None:
        visits_HK = weights["bias.visits_HK"]
        place_T = np.arange(config.max_visits)
        apart_TT = place_T[:, None] - place_T
        self._visits_HTT = np.where(apart_TT < 0, np.float32(-1e4), visits_HK[:, np.maximum(apart_TT, 0)])
        self._time_HK = weights["bias.time_HK"] if config.timed else None

    def __call__(self, length: int, first: int, apart: Apart | None) -> Array:
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
    def __init__(self, weights: Weights) -> None:
        self._widen, self._narrow = weights.linear("ffn.widen", "ffn.norm"), weights.linear("ffn.narrow")

    def add_to(self, x_QD: Array) -> Array:
        x_QD += self._narrow(silu(self._widen(normal(x_QD))))
        return x_QD


class Hstu:
    """training.mixers.Hstu."""

    def __init__(self, config: ViewerConfig, weights: Weights) -> None:
        d = config.d_model
        self._heads, self._scale = config.heads, np.float32(1 / config.max_visits)
        self._vk = weights.linear("uvqk", "norm", np.r_[d : 2 * d, 3 * d : 4 * d])
        self._uq = weights.linear("uvqk", "norm", np.r_[:d, 2 * d : 3 * d])
        self._mixed_norm, self._out, self._bias = (
            weights.pair("mixed_norm"),
            weights.linear("out"),
            _Bias(config, weights),
        )

    def __call__(self, x_TD: Array, first: int, apart: Apart | None) -> Array:
        z_TD = normal(x_TD)
        v_TD, k_TD = np.split(silu(self._vk(z_TD)), 2, axis=1)
        u_QD, q_QD = np.split(silu(self._uq(z_TD[first:])), 2, axis=1)
        score_HQT = _split(q_QD, self._heads) @ _split(k_TD, self._heads).transpose(0, 2, 1)
        score_HQT += self._bias(len(x_TD), first, apart)
        mixed_QD = _join(silu(score_HQT) @ _split(v_TD * self._scale, self._heads))
        return x_TD[first:] + self._out((normal(mixed_QD) * self._mixed_norm[0] + self._mixed_norm[1]) * u_QD)


class Lru:
    """training.mixers.Lru."""

    def __init__(self, config: ViewerConfig, weights: Weights) -> None:
        decay_D = np.exp(weights["nu_D"].astype(np.float64))
        radius_D = np.maximum(np.exp(-decay_D), SMALLEST ** (1 / config.max_visits))  # 1e-6 at 50: as good as 0
        lambda_D = radius_D * np.exp(1j * np.exp(weights["theta_D"].astype(np.float64)))
        self._power_TD = lambda_D ** np.arange(config.max_visits)[:, None]
        self._inverse_TD = 1 / self._power_TD
        gamma_D = np.sqrt(-np.expm1(-2 * decay_D)).astype(np.float32)
        into = weights.linear("into", "norm")
        both_E = np.r_[gamma_D, gamma_D]
        self._into = Linear(into.weight_IO * both_E, into.bias_O * both_E)
        self._out, self._ffn = weights.linear("out"), _FeedForward(weights)

    def __call__(self, x_TD: Array, first: int, apart: Apart | None) -> Array:
        """States by one cumulative sum, h_t = λ^t Σ λ^-s x_s, in doubles: recent terms are the largest of the sum."""
        del apart
        real_TD, imaginary_TD = np.split(self._into(normal(x_TD)), 2, axis=1)
        given_TD = (real_TD + 1j * imaginary_TD) * self._inverse_TD[: len(x_TD)]
        sum_QD = given_TD.sum(0, keepdims=True) if first else np.cumsum(given_TD, axis=0)
        state_QD = sum_QD * self._power_TD[first : len(x_TD)]
        parts_QE = np.concatenate((state_QD.real, state_QD.imag), axis=1, dtype=np.float32)
        return self._ffn.add_to(x_TD[first:] + self._out(parts_QE))


def place(seconds: Array) -> tuple[NDArray[np.intp], Array]:
    """The knot below a duration, and the share of the way to the next."""
    place = np.minimum(np.log1p(seconds, dtype=np.float32) * np.float32(1 / KNOT_STEP), np.float32(KNOTS - 1.001))
    below = place.astype(np.intp)
    return below, place - below.astype(np.float32)


def normal(x_TD: Array) -> Array:
    """Rows with mean 0 and variance 1."""
    size = x_TD.shape[-1]
    centred_TD: Array = x_TD - (x_TD @ np.full(size, 1 / size, np.float32))[:, None]
    variance_T = np.einsum("td,td->t", centred_TD, centred_TD) / np.float32(size)
    centred_TD /= np.sqrt(variance_T + np.float32(EPSILON))[:, None]
    return centred_TD


def silu(x: Array) -> Array:
    """x / (1 + exp(-x))."""
    with np.errstate(over="ignore"):  # exp(1e4) is infinite, and one over it is the 0 that is meant
        y = np.exp(-x)
    y += 1
    np.divide(x, y, out=y)
    return y


def _split(x_TD: Array, heads: int) -> Array:
    return x_TD.reshape(len(x_TD), heads, -1).transpose(1, 0, 2)


def _join(x_HTE: Array) -> Array:
    return x_HTE.transpose(1, 0, 2).reshape(x_HTE.shape[1], -1)
