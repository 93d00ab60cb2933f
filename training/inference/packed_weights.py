"""The viewer tower's weights as its kernels take them: blocks stacked, norms merged into the layers after them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.errors import ConfigError
from training.viewer_config import HARMONICS, KNOTS, MixerKind, ViewerConfig

Floats = NDArray[np.float32]


class PackedSoftmax(NamedTuple):
    """Weights of B blocks of training.model.sequence_mixers.Softmax.

    E: keys and values, 2D; F: units of the feed-forward layer; H: heads.
    """

    q_BDD: Floats
    q_bias_BD: Floats
    kv_BED: Floats
    kv_bias_BE: Floats
    visits_BHK: Floats
    time_BHK: Floats
    out_BDD: Floats
    out_bias_BD: Floats
    widen_BFD: Floats
    widen_bias_BF: Floats
    narrow_BDF: Floats
    narrow_bias_BD: Floats


class PackedHstu(NamedTuple):
    """Weights of B blocks of training.model.sequence_mixers.Hstu.

    E: queries and gates, or keys and values, 2D. scale_1: one number.
    """

    qu_BED: Floats
    qu_bias_BE: Floats
    kv_BED: Floats
    kv_bias_BE: Floats
    visits_BHK: Floats
    time_BHK: Floats
    mixed_scale_BD: Floats
    mixed_shift_BD: Floats
    out_BDD: Floats
    out_bias_BD: Floats
    scale_1: Floats


class PackedLru(NamedTuple):
    """Weights of B blocks of training.model.sequence_mixers.Lru.

    E: real parts, then imaginary ones, 2D. lambda_BE: the share that a state keeps in a step.
    """

    into_BED: Floats
    into_bias_BE: Floats
    lambda_BE: Floats
    out_BDE: Floats
    out_bias_BD: Floats
    widen_BFD: Floats
    widen_bias_BF: Floats
    narrow_BDF: Floats
    narrow_bias_BD: Floats


class PackedEnds(NamedTuple):
    """Weights before the blocks and after them; zeros for parts that a tower lacks. M: units of the moment's layer."""

    action_AD: Floats
    knots_KD: Floats  # of dwell, gap and since, one after the other
    first_D: Floats
    norm_4D: Floats  # scale and shift before the blocks, and after
    widen_MD: Floats
    widen_bias_M: Floats
    gap_KM: Floats
    hour_HM: Floats
    narrow_DM: Floats
    narrow_bias_D: Floats


class PrefixedArrays:
    """Arrays that share a prefix of their names, by the rest of the name, as float32."""

    def __init__(self, arrays: Mapping[str, Floats], prefix: str) -> None:
        self._arrays, self._prefix = arrays, prefix

    def __getitem__(self, name: str) -> Floats:
        if self._prefix + name not in self._arrays:
            raise ConfigError(f"the viewer tower has no array {self._prefix + name}: its configuration is another's")
        return np.asarray(self._arrays[self._prefix + name], np.float32)

    def of(self, prefix: str) -> PrefixedArrays:
        """The arrays whose names go on with `prefix`."""
        return PrefixedArrays(self._arrays, self._prefix + prefix)

    def pair(self, name: str) -> tuple[Floats, Floats]:
        """Weight and bias of a layer or norm, as they are."""
        return self[f"{name}.weight"], self[f"{name}.bias"]

    def layer(self, name: str, norm: str = "", rows: slice | NDArray[np.intp] = slice(None)) -> tuple[Floats, Floats]:
        """Weight [O, I] and bias [O] of a layer, with the scale and shift of a norm before it merged in."""
        weight_OI, bias_O = self[f"{name}.weight"][rows], self[f"{name}.bias"][rows]
        if norm:
            scale_I, shift_I = self.pair(norm)
            weight_OI, bias_O = weight_OI * scale_I, bias_O + weight_OI @ shift_I
        return weight_OI, bias_O


def pack_softmax(config: ViewerConfig, arrays: PrefixedArrays) -> PackedSoftmax:
    """The packed weights of softmax blocks. Raises ConfigError: an array is missing."""
    d = config.d_model

    def block(of: PrefixedArrays) -> tuple[Floats, ...]:
        q, kv = (of.layer("qkv", "norm", rows) for rows in (slice(0, d), slice(d, None)))
        return (*q, *kv, *_distances(config, of), *of.layer("out"), *_feed_forward(of))

    return PackedSoftmax(*_stacked(config, arrays, block))


def pack_hstu(config: ViewerConfig, arrays: PrefixedArrays) -> PackedHstu:
    """The packed weights of HSTU blocks. Raises ConfigError: an array is missing."""
    d = config.d_model
    query, gate, key, value = (np.arange(start * d, (start + 1) * d) for start in (2, 0, 3, 1))  # of u, v, q and k

    def block(of: PrefixedArrays) -> tuple[Floats, ...]:
        qu, kv = (of.layer("uvqk", "norm", np.r_[rows]) for rows in ((query, gate), (key, value)))
        return (*qu, *kv, *_distances(config, of), *of.pair("mixed_norm"), *of.layer("out"))

    scale_1 = np.array([1 / config.max_visits], np.float32)
    return PackedHstu(*(*_stacked(config, arrays, block), scale_1))


def pack_lru(config: ViewerConfig, arrays: PrefixedArrays) -> PackedLru:
    """The packed weights of LRU blocks. Raises ConfigError: an array is missing."""

    def block(of: PrefixedArrays) -> tuple[Floats, ...]:
        decay_D = np.exp(of["nu_D"].astype(np.float64))
        lambda_D = np.exp(-decay_D) * np.exp(1j * np.exp(of["theta_D"].astype(np.float64)))
        gamma_D = np.sqrt(-np.expm1(-2 * decay_D)).astype(np.float32)
        gamma_E = np.r_[gamma_D, gamma_D]
        into_ED, into_bias_E = of.layer("into", "norm")
        into = into_ED * gamma_E[:, None], into_bias_E * gamma_E
        return (*into, np.r_[lambda_D.real, lambda_D.imag], *of.layer("out"), *_feed_forward(of))

    return PackedLru(*_stacked(config, arrays, block))


BLOCKS: Mapping[MixerKind, Callable[[ViewerConfig, PrefixedArrays], PackedSoftmax | PackedHstu | PackedLru]] = {
    "softmax": pack_softmax,
    "hstu": pack_hstu,
    "lru": pack_lru,
}


def _distances(config: ViewerConfig, of: PrefixedArrays) -> tuple[Floats, Floats]:
    """The distance bias of attention, by visits and by time between two, [H, K] each."""
    time_HK = of["bias.time_HK"] if config.timed else np.zeros((config.heads, KNOTS), np.float32)
    return of["bias.visits_HK"], time_HK


def _feed_forward(of: PrefixedArrays) -> tuple[Floats, ...]:
    return (*of.layer("ffn.widen", "ffn.norm"), *of.layer("ffn.narrow"))


def _stacked(
    config: ViewerConfig, arrays: PrefixedArrays, block: Callable[[PrefixedArrays], tuple[Floats, ...]]
) -> tuple[Floats, ...]:
    each = [block(arrays.of(f"blocks.{number}.")) for number in range(config.blocks)]
    return tuple(np.stack(parts).astype(np.float32, order="C") for parts in zip(*each, strict=True))


def pack_ends(config: ViewerConfig, arrays: PrefixedArrays) -> PackedEnds:
    """The packed weights before and after the blocks. Raises ConfigError: an array is missing."""
    d = config.d_model
    has_moment = config.timed or config.hourly
    widen_bias_M = arrays["moment.widen.bias"] if has_moment else np.zeros(1, np.float32)
    width = len(widen_bias_M)
    durations = [f"durations.{name}.knots_KD" for name in ("dwell", "gap", "since_same")]

    def or_zeros(has: bool, name: str, *shape: int) -> Floats:
        return arrays[name] if has else np.zeros(shape, np.float32)

    made = (
        or_zeros(config.actions > 0, "action.weight", 1, d),
        np.concatenate([or_zeros(config.timed, name, KNOTS, d) for name in durations]),
        or_zeros(config.timed, "durations.first_D", d),
        np.stack([*arrays.pair("norm"), *arrays.pair("last_norm")]),
        or_zeros(has_moment, "moment.widen.weight", width, d),
        widen_bias_M,
        or_zeros(config.timed, "moment.gap.knots_KD", KNOTS, width),
        or_zeros(config.hourly, "moment.hour.weight", width, 2 * HARMONICS).T,
        or_zeros(has_moment, "moment.narrow.weight", d, width),
        or_zeros(has_moment, "moment.narrow.bias", d),
    )
    return PackedEnds(*(np.array(array, np.float32, order="C") for array in made))
