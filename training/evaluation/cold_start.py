"""Streamers that training never saw: which they are, and a recording without their past. Never ranks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from streaming.errors import InputFileError
from training.recorded.chat import Chat


def cold_streamers(channels: Sequence[str], share: float) -> NDArray[np.bool_]:
    """The held-out channels, bool [C]: about `share` of them, by a hash of the name, the same in every recording."""
    digests = [hashlib.blake2b(name.encode(), digest_size=8, person=b"cold").digest() for name in channels]
    return np.array([int.from_bytes(digest, "big") < share * 2**64 for digest in digests], bool)


def kept_without(chat: Chat, cold_C: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The messages that are left without these channels' chat before the test, bool [M].

    Raises InputFileError: nothing would be left to learn from.
    """
    kept_M = ~cold_C[chat.channel_M]
    if not kept_M[: chat.num_train].any():
        raise InputFileError(
            f"without the {np.count_nonzero(cold_C)} of {len(cold_C)} channels that are held out the training part is "
            "empty; hold out a smaller share, or give more chat"
        )
    kept_M[chat.num_train :] = True
    return kept_M


def kept(chat: Chat, kept_M: NDArray[np.bool_]) -> Chat:
    """The recording without some messages of its training part."""
    return replace(
        chat,
        at_us_M=chat.at_us_M[kept_M],
        channel_M=chat.channel_M[kept_M],
        viewer_M=chat.viewer_M[kept_M],
        num_train=int(np.count_nonzero(kept_M[: chat.num_train])),
    )
