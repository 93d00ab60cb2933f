"""The 30-second segments of recorded chat that a RoomWorker would encode. Never encodes, never ranks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streaming.events import Outcome
from streaming.room.window import SEGMENT_MS, ChatWindow, ClosedSegment
from streaming.room.window_config import WindowConfig
from training.features.visit_kinds import SILENCE_US
from training.recorded.chat import Chat

SEGMENT_US = 1_000 * SEGMENT_MS


@dataclass(frozen=True, slots=True)
class Segments:
    """S segments with chat, by channel and then in time order."""

    channel_S: NDArray[np.int32]  # index into the chat's channels
    index_S: NDArray[np.int64]  # segment k is [30 k, 30 k + 30) s since the epoch
    broadcast_S: NDArray[np.int32]  # number within the channel, from 0: half an hour of silence begins another
    last_us_S: NDArray[np.int64]  # newest message in it
    hash_S: NDArray[np.int64]  # streaming.room.text.text_hash of the text
    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)


def cut(chat: Chat, text_M: pa.StringArray, config: WindowConfig) -> Segments:
    """Every closed segment of every channel: the text that `streaming.room.window` makes of its messages.

    text_M: from `training.recorded.chat.load_texts`. About 100,000 messages a second.
    """
    order_M = np.argsort(chat.channel_M, kind="stable")
    bounds = np.searchsorted(chat.channel_M[order_M], np.arange(len(chat.channels) + 1))
    found: list[tuple[int, int, int, int, ClosedSegment]] = []
    for channel, (start, end) in enumerate(pairwise(bounds.tolist())):
        rows_K = order_M[start:end]
        at_us_K = chat.at_us_M[rows_K]
        broadcast_K = np.cumsum(np.diff(at_us_K, prepend=at_us_K[:1]) >= SILENCE_US)
        for closed in _closed(chat, text_M, rows_K, config):
            last = int(np.searchsorted(at_us_K, (closed.index + 1) * SEGMENT_US)) - 1
            found.append((channel, closed.index, int(broadcast_K[last]), int(at_us_K[last]), closed))
    columns = zip(*found, strict=True) if found else ((), (), (), (), ())
    channels, indices, broadcasts, last_us, segments = columns
    return Segments(
        channel_S=np.array(channels, np.int32),
        index_S=np.array(indices, np.int64),
        broadcast_S=np.array(broadcasts, np.int32),
        last_us_S=np.array(last_us, np.int64),
        hash_S=np.array([segment.hash for segment in segments], np.int64),
        texts=tuple(segment.text for segment in segments),
    )


def _closed(
    chat: Chat, text_M: pa.StringArray, rows_K: NDArray[np.intp], config: WindowConfig
) -> Iterator[ClosedSegment]:
    """The segments of one channel that have text, in order. Messages count as appended when they were sent."""
    at_ms = (chat.at_us_M[rows_K] // 1_000).tolist()
    viewers = map(str, chat.viewer_M[rows_K].tolist())
    texts = text_M.take(pa.array(rows_K)).to_pylist()
    window = ChatWindow(config)
    window.add_all(list(zip(viewers, texts, at_ms, range(len(at_ms)), at_ms, strict=True)), [0] * len(Outcome))
    if at_ms:
        window.expire(at_ms[-1] + 1_000 * config.keep_s)
    return (closed for closed in window.closed if closed.text)
