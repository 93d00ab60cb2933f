"""The shape of the viewer tower. Never imports torch: replicas read it as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from streaming.errors import ConfigError
from streaming.section import Count, CountOrZero, Section, ShareBelowOne

MixerKind = Literal["softmax", "hstu", "lru"]
MIXERS: tuple[MixerKind, ...] = ("softmax", "hstu", "lru")

KNOTS = 24  # of a duration, evenly spaced in log(1 + seconds)
KNOT_STEP = 0.75  # between two knots: 24 of them reach e^17 s, 280 days
HARMONICS = 3  # of the day: 24, 12 and 8 hours


@dataclass(frozen=True, slots=True)
class MixerConfig(Section):
    """One block. timed: whether attention is biased by the time between two visits; lru has no such bias."""

    section: ClassVar[str] = "mixer"

    d_model: Count = 64
    heads: Count = 2
    max_visits: Count = 50  # further apart than this, distances count as this
    ffn: Count = 4  # hidden units of the feed-forward layer, in multiples of d_model; hstu has none
    dropout: ShareBelowOne = 0.1
    timed: bool = False

    def check(self) -> None:
        if self.d_model % self.heads:
            raise ConfigError(f"mixer.d_model is {self.d_model}; it must be a multiple of heads, {self.heads}")


@dataclass(frozen=True, slots=True)
class ViewerConfig(Section):
    """actions: classes of what was done, 0 without. timed, hourly: whether durations and the hour are given.

    unit: whether vectors have length one; where they have not, their length says how sure the tower is.
    """

    section: ClassVar[str] = "viewer"

    mixer: MixerKind = "softmax"
    d_item: Count = 64
    d_model: int = 64
    blocks: Count = 2
    heads: int = 2
    max_visits: int = 50
    ffn: int = 4
    dropout: float = 0.2
    actions: CountOrZero = 3
    timed: bool = True
    hourly: bool = True
    unit: bool = False

    def check(self) -> None:
        self.block()

    def block(self) -> MixerConfig:
        """The configuration of each block. Raises ConfigError."""
        return MixerConfig(self.d_model, self.heads, self.max_visits, self.ffn, self.dropout, self.timed)
