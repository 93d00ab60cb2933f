"""A lookup of every channel's content at any time of a recording. Never uses a segment that was not closed by then."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numba import types
from numpy.typing import NDArray

from streaming.room.vectors import to_bytes, updated_mean
from streaming.room.window_config import WindowConfig
from training.content.content_vector import mix
from training.features import compiling
from training.features.compiling import INTEGERS, kernel
from training.features.visit_kinds import SILENCE_US
from training.recorded.segments import SEGMENT_US, Segments


@dataclass(frozen=True, slots=True)
class Content:
    """The content of N channels at a time.

    now_ND: mix of title and last segment, unit length, NaN where there is neither. mean_ND: zeros where none yet.
    """

    now_ND: NDArray[np.float32]
    mean_ND: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class ContentRows:
    """The content of N channels as rows of `ContentTimeline.now_RD` and `mean_RD`, for users with these tables."""

    now_N: NDArray[np.intp]
    mean_N: NDArray[np.intp]


class Contents(Protocol):
    """A source of channels' content."""

    def at(self, channels_N: NDArray[np.intp], at_us: int) -> Content:
        """The content that was known strictly before the time."""


@kernel(exact=True)
def looked_up(  # noqa: PLR0917  compiled functions take no keywords
    channel_N: NDArray[np.int64],
    at_us_N: NDArray[np.int64],
    key_S: NDArray[np.int64],
    last_us_S: NDArray[np.int64],
    mean_S: NDArray[np.int64],
    first_us: int,
    span_us: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of content and of means, each int64 [N]: of the last segment in a current broadcast, else the title's and 0.

    key_S: channel · span + the time of a segment's close since the first one; ascending.
    """
    now_N, mean_N = np.empty(len(channel_N), np.int64), np.zeros(len(channel_N), np.int64)
    for n in range(len(channel_N)):
        begin = channel_N[n] * span_us
        key, place = begin + min(max(at_us_N[n] - first_us, 0), span_us - 1), 0
        end = len(key_S)
        while place < end:
            middle = (place + end) // 2
            if key_S[middle] < key:
                place = middle + 1
            else:
                end = middle
        place -= 1
        if place >= 0 and key_S[place] >= begin and at_us_N[n] - last_us_S[place] < SILENCE_US:
            now_N[n], mean_N[n] = place, mean_S[place]
        else:
            now_N[n] = len(key_S) + channel_N[n]
    return now_N, mean_N


def signatures() -> dict[Any, Any]:
    """The kernels called here with their argument types, for `compiling.load`."""
    return {looked_up: (*[INTEGERS] * 5, types.int64, types.int64)}


class ContentTimeline:
    """The content of C channels over time, from S segments.

    A segment is known `lateness_s` after its end, when a room's window closes it. A broadcast begins without chat, mean
    or past: half an hour of silence parts two. Titles are known at all times.
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
        self.segments = segments  # row r of now_RD is segment r; the rows after them are the channels' titles
        self._last_us_S = segments.last_us_S.astype(np.int64)
        self._last: tuple[NDArray[np.intp], int, Content] | None = None
        closed_us_S = (segments.index_S + 1) * SEGMENT_US + 1_000_000 * config.lateness_s
        self._first_us = int(closed_us_S.min(initial=2**62))
        self._span_us = int(closed_us_S.max(initial=self._first_us)) - self._first_us + 2
        if C * self._span_us >= 2**62:
            raise AssertionError(f"{C} channels over {self._span_us} us do not fit one key")
        self._key_S = segments.channel_S * np.int64(self._span_us) + (closed_us_S - self._first_us)
        compiling.load(signatures())

    def rows(self, channels_N: NDArray[np.intp], at_us: int | NDArray[np.int64]) -> ContentRows:
        """The rows with the content known strictly before at_us: one time for all, or int64 [N]."""
        at_us_N = np.asarray(at_us, np.int64)
        if not at_us_N.ndim:
            at_us_N = np.full(len(channels_N), at_us, np.int64)
        now_N, mean_N = looked_up(
            np.ascontiguousarray(channels_N, np.int64),
            np.ascontiguousarray(at_us_N),
            self._key_S,
            self._last_us_S,
            self._mean_S,
            self._first_us,
            self._span_us,
        )
        return ContentRows(now_N, mean_N)

    def at(self, channels_N: NDArray[np.intp], at_us: int) -> Content:
        """The content known strictly before `at_us`. Read-only for callers: the last result is returned again."""
        if self._last is None or self._last[0] is not channels_N or self._last[1] != at_us:
            rows = self.rows(channels_N, at_us)
            content = Content(self.now_RD[rows.now_N].astype(np.float32), self.mean_RD[rows.mean_N].astype(np.float32))
            self._last = channels_N, at_us, content
        return self._last[2]


class ShuffledContent:
    """A placebo: at each moment, the content of the requested channels is shuffled among them anew."""

    def __init__(self, contents: Contents, seed: int) -> None:
        self._contents, self._seed = contents, seed

    def at(self, channels_N: NDArray[np.intp], at_us: int) -> Content:
        """The content at that time, shuffled; the same for the same time."""
        order_N = np.random.default_rng((self._seed, at_us)).permutation(len(channels_N))
        content = self._contents.at(channels_N, at_us)
        return Content(content.now_ND[order_N], content.mean_ND[order_N])


def _means(
    channels: Sequence[str], segments: Segments, vectors_SD: NDArray[np.float16], config: WindowConfig
) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """The distinct slow means [R, D], the first of them zeros, and the row in force after each segment [S].

    The first segment of a broadcast and one in `mean_every` enter a mean, as streaming/room/chat.py aggregates them.
    Which ones do depends there on the room's name, here on the channel's.
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
            means.append(updated_mean(before, to_bytes(vectors_SD[place]), config.mean_alpha))
        row_S[place] = len(means) - 1
    mean_RD: NDArray[np.float16] = np.frombuffer(b"".join(means), "<f2").reshape(len(means), -1)
    return mean_RD, row_S
