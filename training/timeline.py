"""What every channel was about at any time of a recording, as a lookup. Never sees what had not closed by then."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streaming.vectors import fold_mean, to_bytes
from streaming.window import WindowConfig
from training.content import mix
from training.segments import SEGMENT_US, Segments
from training.visits import SILENCE_US


@dataclass(frozen=True, slots=True)
class Content:
    """now_ND: mix of title and last segment, unit length, NaN where there is neither. mean_ND: zeros where none yet."""

    now_ND: NDArray[np.float32]
    mean_ND: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class ContentRows:
    """The same as rows of `ContentTimeline.now_RD` and `mean_RD`, for who keeps the tables elsewhere."""

    now_N: NDArray[np.intp]
    mean_N: NDArray[np.intp]


class Contents(Protocol):
    """Says what channels are about."""

    def at(self, channels_N: NDArray[np.intp], at_us: int) -> Content:
        """As of what was known strictly before the time."""


class ContentTimeline:
    """C channels, S segments. A segment is known `lateness_s` after its end, as a room's window closes it.

    A broadcast begins without chat, mean or past: half an hour of silence parts two. Titles are known at all times.
    """

    def __init__(
        self,
        channels: Sequence[str],
        segments: Segments,
        vectors_SD: NDArray[np.float16],
        titles_CD: NDArray[np.float16],
        *,
        config: WindowConfig,
        title_weight: float,
    ) -> None:
        """vectors_SD: of the segments' texts. titles_CD: of the channels' titles, zeros for none."""
        C = len(channels)
        now_SD = mix(titles_CD[segments.channel_S], vectors_SD, title_weight)
        title_CD = mix(titles_CD, np.zeros_like(titles_CD), title_weight)
        self.now_RD: NDArray[np.float16] = np.concatenate([now_SD, title_CD]).astype(np.float16)
        self.mean_RD, self._mean_S = _means(channels, segments, vectors_SD, config)
        self.segments = segments  # row r of now_RD is segment r, those past them are the channels' titles
        self._title_row = len(segments)
        self._channel_S, self._last_us_S = segments.channel_S, segments.last_us_S
        closed_us_S = (segments.index_S + 1) * SEGMENT_US + 1_000_000 * config.lateness_s
        self._first_us = int(closed_us_S.min(initial=2**62))
        self._span_us = int(closed_us_S.max(initial=self._first_us)) - self._first_us + 2
        if C * self._span_us >= 2**62:
            raise AssertionError(f"{C} channels over {self._span_us} us do not fit one key")
        self._key_S = segments.channel_S * np.int64(self._span_us) + (closed_us_S - self._first_us)

    def rows(self, channels_N: NDArray[np.intp], at_us: int | NDArray[np.int64]) -> ContentRows:
        """at_us: one for all, or [N]. Some 10 us for 25 channels."""
        since_us = np.clip(np.asarray(at_us, np.int64) - self._first_us, 0, self._span_us - 1)
        if not len(self._key_S):
            return ContentRows(self._title_row + channels_N, np.zeros_like(channels_N))
        place_N = np.searchsorted(self._key_S, channels_N * self._span_us + since_us, "left") - 1
        place_N = np.maximum(place_N, 0)
        known_N = self._key_S[place_N] < channels_N * self._span_us + since_us  # false where place was -1
        known_N &= self._channel_S[place_N] == channels_N
        known_N &= at_us - self._last_us_S[place_N] < SILENCE_US  # else of a broadcast that is over
        return ContentRows(
            np.where(known_N, place_N, self._title_row + channels_N), np.where(known_N, self._mean_S[place_N], 0)
        )

    def at(self, channels_N: NDArray[np.intp], at_us: int) -> Content:
        """What was known strictly before `at_us`."""
        rows = self.rows(channels_N, at_us)
        return Content(self.now_RD[rows.now_N].astype(np.float32), self.mean_RD[rows.mean_N].astype(np.float32))


class ShuffledContent:
    """A placebo: at each moment, the content of the channels asked for, dealt to these channels anew."""

    def __init__(self, contents: Contents, seed: int) -> None:
        self._contents, self._seed = contents, seed

    def at(self, channels_N: NDArray[np.intp], at_us: int) -> Content:
        """The same content at the same time, to other channels."""
        order_N = np.random.default_rng((self._seed, at_us)).permutation(len(channels_N))
        content = self._contents.at(channels_N, at_us)
        return Content(content.now_ND[order_N], content.mean_ND[order_N])


def _means(
    channels: Sequence[str], segments: Segments, vectors_SD: NDArray[np.float16], config: WindowConfig
) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """The distinct slow means [R, D], the first of them zeros, and [S] which of them is in force after each segment.

    The first segment of a broadcast and one in `mean_every` enter it, as streaming/chat.py folds them; which ones
    follows there from the room's name, here from the channel's.
    """
    means = [np.zeros(vectors_SD.shape[1], np.float16).tobytes()]
    row_S = np.zeros(len(segments), np.int64)
    phase_C = np.array([zlib.crc32(channel.encode()) for channel in channels], np.int64)
    due_S = (segments.index_S + phase_C[segments.channel_S]) % config.mean_every == 0
    first_S = np.diff(segments.channel_S, prepend=-1) != 0
    first_S |= np.diff(segments.broadcast_S, prepend=-1) != 0
    for place, (first, due) in enumerate(zip(first_S.tolist(), due_S.tolist(), strict=True)):
        if first or due:
            before = b"" if first else means[-1]
            means.append(fold_mean(before, to_bytes(vectors_SD[place]), config.mean_alpha))
        row_S[place] = len(means) - 1
    mean_RD: NDArray[np.float16] = np.frombuffer(b"".join(means), "<f2").reshape(len(means), -1)
    return mean_RD, row_S
