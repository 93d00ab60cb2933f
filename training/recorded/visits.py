"""Visits derived from chat alone. Never reads a file, never looks ahead."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.features.visit_kinds import SILENCE_US, VisitKind
from training.recorded.chat import Chat


def kinds(chat: Chat) -> NDArray[np.int8]:
    """The VisitKind of each message, int8 [M].

    A visit is a message whose viewer's previous message was in another channel, or half an hour or longer ago, or
    which has none before it.
    """
    order_M = np.argsort(chat.viewer_M, kind="stable")  # each viewer's messages together, in time order
    viewer_M, channel_M, at_us_M = chat.viewer_M[order_M], chat.channel_M[order_M], chat.at_us_M[order_M]
    first_M = np.r_[True, viewer_M[1:] != viewer_M[:-1]]
    moved_M = np.r_[True, channel_M[1:] != channel_M[:-1]]
    silent_M = np.r_[True, at_us_M[1:] - at_us_M[:-1] >= SILENCE_US]
    pair_M = viewer_M.astype(np.int64) * len(chat.channels) + channel_M
    # a viewer's first message in a channel is always a visit: the one before it was elsewhere, or there is none
    known_M = np.ones(len(pair_M), bool)
    known_M[np.unique(pair_M, return_index=True)[1]] = False
    found_M = np.full(len(pair_M), VisitKind.NO_VISIT, np.int8)
    found_M[moved_M | silent_M | first_M] = VisitKind.REPEAT
    found_M[~known_M] = VisitKind.NEW
    found_M[first_M] = VisitKind.COLD
    kind_M = np.empty_like(found_M)
    kind_M[order_M] = found_M
    return kind_M
