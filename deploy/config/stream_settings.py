"""The settings of lists that are pushed: how many streams, how often a list is looked at, how long one lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from streaming.section import CountOrZero, Positive, Section


@dataclass(frozen=True, slots=True)
class StreamConfig(Section):
    """How many streams of lists a replica holds, and what they may cost."""

    section: ClassVar[str] = "stream"

    # open at once per replica; further ones are answered 503. Of the 5,000 requests that Serve lets into a replica
    most: Annotated[int, Meta(ge=0, le=4_000)] = 2_000
    # without an event for so long, a comment is sent; HAProxy gives a silent replica 30 s here
    heartbeat_s: Annotated[float, Meta(gt=0, le=15)] = 10.0
    period_s: Positive = 1.0  # between two looks at a list, at least, where nothing concerns it alone
    # how long a list must be another before it is pushed; one whose room ended, or after the viewer's own event: 0
    hold_ms: CountOrZero = 1_000
    # of a core, for looking at lists. With many streams the period becomes longer instead
    share: Annotated[float, Meta(gt=0, le=0.9)] = 0.2
    # then a stream ends and its client comes back, perhaps to another replica, and with a key that is still good
    max_s: Positive = 900.0
    patience_s: Positive = 20.0  # for a client that does not read; then its stream is closed
