"""How long each room had been going on when something was said in it. Never reads a file, never ranks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.features.visit_kinds import SILENCE_US
from training.recorded.chat import Chat


def room_ages_us(chat: Chat) -> NDArray[np.int64]:
    """[M] how long before each message its room began: with the first message after half an hour of silence.

    A recording that begins in the middle of a broadcast does not know how long that had been going on.
    """
    order_M = np.argsort(chat.channel_M, kind="stable")  # each channel's messages together, in time order
    channel_M, at_us_M = chat.channel_M[order_M], chat.at_us_M[order_M]
    begins_M = np.r_[True, (channel_M[1:] != channel_M[:-1]) | (at_us_M[1:] - at_us_M[:-1] >= SILENCE_US)]
    age_us_M = np.empty_like(at_us_M)
    age_us_M[order_M] = at_us_M - at_us_M[np.flatnonzero(begins_M)[np.cumsum(begins_M) - 1]]
    return age_us_M
