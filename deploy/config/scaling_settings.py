"""The settings of replicas that come and go with the work: how many at most, and by what. Never scales anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from streaming.errors import ConfigError
from streaming.section import Count, CountOrZero, NotNegative, Positive, Section


@dataclass(frozen=True, slots=True)
class ScalingConfig(Section):
    """How many replicas of each deployment there may be, and what makes them more or fewer.

    The least is what `http.replicas`, `ray.room_workers`, `ray.profile_workers` and `ray.encoders` say.
    """

    section: ClassVar[str] = "scaling"

    recommenders: CountOrZero = 0  # the most of each; 0: always as many as the least
    room_workers: CountOrZero = 0  # more than topics.room_partitions would be idle
    profile_workers: CountOrZero = 0  # more than topics.viewer_partitions would be idle
    encoders: CountOrZero = 0
    ongoing_requests: Positive = 16.0  # requests in progress, per Recommender, that are aimed at
    lag_records: Count = (
        20_000  # unread records that one worker may have before there is another; it reads so many in 2 s
    )
    # a partition that lags for so long, mostly alone, no longer counts: one worker reads it, however many there are
    hot_partition_s: NotNegative = 120.0
    waiting_texts: Count = 512  # texts that may wait at one Encoder before there is another: two of its merged batches
    up_after_s: NotNegative = 15.0  # of more work than now: a burst of chat is over sooner
    down_after_s: NotNegative = 300.0  # of less: each change moves partitions, whose state is read from the log anew

    def most(self, name: str, least: int) -> int:
        """The most replicas of a deployment, by the name of its key here. Raises ConfigError: less than the least."""
        most: int = getattr(self, name) or least
        if most < least:
            raise ConfigError(f"scaling.{name} is {most}; it must be at least the least number of them, {least}")
        return most
