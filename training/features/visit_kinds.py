"""Kinds of visits, and the silence after which a visit or a broadcast is over. Imports nothing."""

from __future__ import annotations

from enum import IntEnum

SILENCE_US = 1_800_000_000  # half an hour without a message: the next one is a visit, wherever it is
SILENCE_MS = SILENCE_US // 1_000
LIVE_MS = 300_000  # a channel with a message in the five minutes before is live


class VisitKind(IntEnum):
    """The kind of visit that a viewer's message or entry begins."""

    NO_VISIT = -1
    COLD = 0  # the viewer's first visit ever
    NEW = 1  # not the first, but the first to this channel
    REPEAT = 2  # the viewer has visited the channel before
