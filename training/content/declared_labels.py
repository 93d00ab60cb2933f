"""Numbers that stand for a room's declared language and category. Never guesses one."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streaming.events import RoomState
from training.content.spelling import category_key, language_key

UNKNOWN = 0
LABELS = 2  # language and category


def label(name: str) -> int:
    """The id of a language or category: a hash of 31 bits, the same in every process; UNKNOWN for an empty name.

    Two names among thousands may share one.
    """
    key = category_key(name)
    return zlib.crc32(key.encode()) & 0x7FFF_FFFF if key else UNKNOWN


def labels_of(states: Sequence[RoomState]) -> NDArray[np.int32]:
    """Label ids of N rooms, int32 [N, 2]: language and category, UNKNOWN where the streamer declares none."""
    languages = ["" if state.language_guessed else language_key(state.language) for state in states]
    pairs = [(label(language), label(state.category)) for language, state in zip(languages, states, strict=True)]
    return np.array(pairs, np.int32).reshape(-1, LABELS)
