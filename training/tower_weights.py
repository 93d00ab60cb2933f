"""Owns the viewer tower's weights as its kernel takes them: stacked block by block, norms folded in. Never computes.

Only of towers whose mixer is softmax.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.mixer_forward import Weights
from training.viewer_config import HARMONICS, KNOTS, ViewerConfig

Floats = NDArray[np.float32]


class Blocks(NamedTuple):
    """B blocks. E: keys and values, 2D; F: units of the feed-forward layer; H heads, K knots of a time bias."""

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


class Ends(NamedTuple):
    """What is before the blocks and after them; zeros for what a tower has not. M: units of the moment's layer."""

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


def blocks(config: ViewerConfig, weights: Weights) -> Blocks:
    """Raises ConfigError: an array is missing."""
    d = config.d_model
    no_bias_HK = np.zeros((config.heads, KNOTS), np.float32)
    parts = []
    for number in range(config.blocks):
        block = weights.of(f"blocks.{number}.")
        q, kv = (block.linear("qkv", "norm", rows) for rows in (slice(0, d), slice(d, None)))
        out, widen, narrow = block.linear("out"), block.linear("ffn.widen", "ffn.norm"), block.linear("ffn.narrow")
        time_HK = block["bias.time_HK"] if config.timed else no_bias_HK
        layers = [q, kv, out, widen, narrow]
        turned = [array for layer in layers for array in (layer.weight_IO.T, layer.bias_O)]
        parts.append([*turned[:4], block["bias.visits_HK"], time_HK, *turned[4:]])
    return Blocks(*(np.stack(arrays).astype(np.float32, order="C") for arrays in zip(*parts, strict=True)))


def ends(config: ViewerConfig, weights: Weights) -> Ends:
    """Raises ConfigError: an array is missing."""
    d = config.d_model
    has_moment = config.timed or config.hourly
    widen_bias_M = weights["moment.widen.bias"] if has_moment else np.zeros(1, np.float32)
    width = len(widen_bias_M)
    durations = [f"durations.{name}.knots_KD" for name in ("dwell", "gap", "since_same")]

    def or_zeros(has: bool, name: str, *shape: int) -> Floats:
        return weights[name] if has else np.zeros(shape, np.float32)

    arrays = (
        or_zeros(config.actions > 0, "action.weight", 1, d),
        np.concatenate([or_zeros(config.timed, name, KNOTS, d) for name in durations]),
        or_zeros(config.timed, "durations.first_D", d),
        np.stack([*weights.pair("norm"), *weights.pair("last_norm")]),
        or_zeros(has_moment, "moment.widen.weight", width, d),
        widen_bias_M,
        or_zeros(config.timed, "moment.gap.knots_KD", KNOTS, width),
        or_zeros(config.hourly, "moment.hour.weight", width, 2 * HARMONICS).T,
        or_zeros(has_moment, "moment.narrow.weight", d, width),
        or_zeros(has_moment, "moment.narrow.bias", d),
    )
    return Ends(*(np.array(array, np.float32, order="C") for array in arrays))
