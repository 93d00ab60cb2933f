"""Owns the shape of the viewer tower. Never imports torch: who serves reads it as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streaming.errors import ConfigError

MixerKind = Literal["softmax", "hstu", "lru"]
MIXERS: tuple[MixerKind, ...] = ("softmax", "hstu", "lru")

KNOTS = 24  # of a duration, evenly spaced in log(1 + seconds)
KNOT_STEP = 0.75  # between two knots: 24 of them reach e^17 s, 280 days
HARMONICS = 3  # of the day: 24, 12 and 8 hours


@dataclass(frozen=True, slots=True)
class MixerConfig:
    """One block. timed: whether attention is biased by the time between two visits; lru has no such bias."""

    d_model: int = 64
    heads: int = 2
    max_visits: int = 50  # further apart than this, distances count as this
    ffn: int = 4  # hidden units of the feed-forward layer, in multiples of d_model; hstu has none
    dropout: float = 0.1
    timed: bool = False

    def __post_init__(self) -> None:
        for name in ("d_model", "heads", "max_visits", "ffn"):
            if getattr(self, name) < 1:
                raise ConfigError(f"mixer.{name} is {getattr(self, name)}; it must be at least 1")
        if self.d_model % self.heads:
            raise ConfigError(f"mixer.d_model is {self.d_model}; it must be a multiple of heads, {self.heads}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"mixer.dropout is {self.dropout}; it must be in [0, 1)")


@dataclass(frozen=True, slots=True)
class ViewerConfig:
    """actions: classes of what was done, 0 without. timed, hourly: whether durations and the hour are given.

    unit: whether vectors have length one; where they have not, their length says how sure the tower is.
    """

    mixer: MixerKind = "softmax"
    d_item: int = 64
    d_model: int = 64
    blocks: int = 2
    heads: int = 2
    max_visits: int = 50
    ffn: int = 4
    dropout: float = 0.2
    actions: int = 3
    timed: bool = True
    hourly: bool = True
    unit: bool = False

    def __post_init__(self) -> None:
        if self.d_item < 1 or self.blocks < 1:
            raise ConfigError(f"viewer: d_item is {self.d_item} and blocks {self.blocks}; both must be at least 1")
        if self.actions < 0:
            raise ConfigError(f"viewer.actions is {self.actions}; it must not be below 0")
        self.block()

    def block(self) -> MixerConfig:
        """The configuration of each block. Raises ConfigError."""
        return MixerConfig(self.d_model, self.heads, self.max_visits, self.ffn, self.dropout, self.timed)
