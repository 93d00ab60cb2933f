"""Takes layers and feed-forward units out of a language model. Never decides which."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from streaming.errors import ConfigError
from training.fine_tuning.encoder_learner import layers_of

Point = Literal["small", "fast"]
SHARES: dict[Point, tuple[float, float]] = {"small": (2 / 3, 3 / 4), "fast": (1 / 3, 1 / 2)}  # of layers, of units


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a language model: its layers, and the units of each one's feed-forward network."""

    layers: int
    units: int


@dataclass(frozen=True, slots=True, eq=False)
class FeedForward:
    """The feed-forward network of a layer: hidden → units, a function of each, units → hidden."""

    up: nn.Linear
    down: nn.Linear


def size_of(model: nn.Module) -> Size:
    """The size of a language model. Raises ConfigError: it is of a kind that cannot be compressed."""
    return Size(len(layers_of(model)), feed_forwards_of(model)[0].up.out_features)


def size_at(point: Point, whole: Size) -> Size:
    """The size at one of the two points: a third less of layers and a quarter of units, or two thirds and a half."""
    layers, units = SHARES[point]
    return Size(max(1, math.ceil(whole.layers * layers - 1e-9)), max(1, math.ceil(whole.units * units - 1e-9)))


def feed_forwards_of(model: nn.Module) -> list[FeedForward]:
    """The feed-forward network of each layer.

    Raises ConfigError: a layer has none of one product up and one down, under BERT's names; those with a gate do not.
    """
    found = []
    for layer in layers_of(model):
        up, down = (getattr(getattr(layer, name, None), "dense", None) for name in ("intermediate", "output"))
        if not isinstance(up, nn.Linear) or not isinstance(down, nn.Linear):
            raise ConfigError(
                f"language models of this kind ({type(model).__name__}) cannot be compressed; those built like BERT "
                "can, such as RoBERTa, XLM-R and MPNet"
            )
        found.append(FeedForward(up, down))
    return found


@contextmanager
def without_layer(model: nn.Module, place: int) -> Iterator[None]:
    """The model without one layer, for as long as the block lasts."""
    layers = layers_of(model)
    layer = layers[place]
    del layers[place]
    try:
        yield
    finally:
        layers.insert(place, layer)


def drop_layer(model: nn.Module, place: int) -> None:
    """Takes a layer out, for good."""
    config: Any = model.config
    layers = layers_of(model)
    del layers[place]
    config.num_hidden_layers = len(layers)


@torch.no_grad()
def keep_units(model: nn.Module, kept: Sequence[Tensor]) -> None:
    """Leaves some units of each layer's feed-forward network, the same number in each: places, int64 [U], by layer."""
    config: Any = model.config
    for network, kept_U in zip(feed_forwards_of(model), kept, strict=True):
        network.up.weight = nn.Parameter(network.up.weight[kept_U])
        if network.up.bias is not None:
            network.up.bias = nn.Parameter(network.up.bias[kept_U])
        network.down.weight = nn.Parameter(network.down.weight[:, kept_U])
        network.up.out_features = network.down.in_features = len(kept_U)
    config.intermediate_size = len(kept[0])
