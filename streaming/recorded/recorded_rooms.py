"""Derives rooms from recorded chat: which room each message was in, and the rooms' first and last messages.

Never reads texts. A room is one channel in one recorded window, if the file has windows. A channel's silence of half an
hour separates two rooms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaming.errors import InputFileError
from streaming.recorded.recording import Recording

SILENCE_MS = 1_800_000  # streamers' breaks are shorter, their nights longer
MAX_PARTS = 1 << 20  # most rooms of a channel in a window


@dataclass(frozen=True, slots=True)
class Selection:
    """Selects the rows that are played. Times are the recorded ones; `limit` counts rows of each file."""

    window: int | None = None
    from_ms: int | None = None
    until_ms: int | None = None
    limit: int | None = None

    def mask(self, times_N: NDArray[np.int64], window_N: NDArray[np.int64] | None) -> NDArray[np.bool_]:
        """Mask [N] bool of the selected rows, without regard to the limit."""
        kept = np.ones(len(times_N), np.bool_)
        if self.from_ms is not None:
            kept &= times_N >= self.from_ms
        if self.until_ms is not None:
            kept &= times_N < self.until_ms
        if self.window is not None and window_N is not None:
            kept &= window_N == self.window
        return kept


@dataclass(frozen=True, slots=True)
class RecordedRooms:
    """The N rows that are played, in time order, and their R rooms.

    order_N: each row's index in the file. sorted: the file is in time order, so it can be read sequentially.
    """

    order_N: NDArray[np.int64]
    times_N: NDArray[np.int64]
    room_N: NDArray[np.int32]
    first_R: NDArray[np.int64]
    last_R: NDArray[np.int64]
    names: tuple[str, ...]
    streamers: tuple[str, ...]
    sorted: bool


def find_rooms(recording: Recording, selection: Selection) -> RecordedRooms:
    """Scans times, channels and windows: 20 bytes of memory a row. Raises InputFileError, also where no row is left."""
    times, channels, windows, codes = _scan(recording)
    if selection.window is not None and windows is None:
        raise InputFileError(f"{recording.path}: no column window, so --window {selection.window} selects nothing")
    chosen = np.flatnonzero(selection.mask(times, windows))
    ordered = bool((np.diff(times) >= 0).all())
    if not ordered:
        chosen = chosen[np.argsort(times[chosen], kind="stable")]
    chosen = chosen[: selection.limit]
    if not len(chosen):
        held = f", windows {windows.min()} to {windows.max()}" if windows is not None and len(windows) else ""
        raise InputFileError(f"{recording.path}: no row is selected; the file has {len(times)} rows{held}")
    times, channels = times[chosen], channels[chosen]
    by_room = "room" in recording.columns
    known, windows = (None, None) if windows is None else np.unique(windows[chosen], return_inverse=True)
    parts = np.zeros_like(times) if by_room else _parts(times, channels, windows)
    keys, room_N = np.unique(np.stack([channels, parts]), axis=1, return_inverse=True)
    rooms: NDArray[np.int32] = room_N.reshape(-1).astype(np.int32)
    first_R: NDArray[np.int64] = np.full(keys.shape[1], len(times), np.int64)
    last_R: NDArray[np.int64] = np.zeros(keys.shape[1], np.int64)
    np.minimum.at(first_R, rooms, np.arange(len(times)))
    np.maximum.at(last_R, rooms, np.arange(len(times)))
    labels = list(codes)
    streamers = tuple(labels[channel] for channel in keys[0].tolist())
    pairs = zip(streamers, keys[1].tolist(), strict=True)
    names = streamers if by_room else tuple(f"{channel}-w{_label(part, known)}" for channel, part in pairs)
    return RecordedRooms(chosen, times, rooms, first_R, last_R, names, streamers, ordered)


def _scan(recording: Recording) -> tuple[Any, Any, Any, dict[str, int]]:
    """Reads times, codes of channels (or of rooms, if the file has them), windows or None, and names by code."""
    name = "room" if "room" in recording.columns else "channel"
    codes: dict[str, int] = {}
    times, channels, windows = [], [], []
    for batch in recording.batches((name, "window")):
        encoded = batch[name].dictionary_encode()
        known = np.array([codes.setdefault(text, len(codes)) for text in encoded.dictionary.to_pylist()], np.int64)
        times.append(batch["at_ms"])
        channels.append(known[encoded.indices.to_numpy(zero_copy_only=False)])
        if "window" in batch:
            windows.append(batch["window"].to_numpy(zero_copy_only=False))
    if not times:
        raise InputFileError(f"{recording.path}: no rows")
    return np.concatenate(times), np.concatenate(channels), np.concatenate(windows) if windows else None, codes


def _parts(
    times_N: NDArray[np.int64], channels_N: NDArray[np.int64], windows_N: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """A number [N] that separates a channel's rooms: the window if known, and the silences in it before the row.

    windows_N: indices of windows from 0, whatever their numbers in the file.
    """
    if windows_N is None:
        return _silences(times_N, channels_N)
    apart_N = channels_N * (int(windows_N.max()) + 1) + windows_N
    return windows_N * MAX_PARTS + np.minimum(_silences(times_N, apart_N), MAX_PARTS - 1)


def _label(part: int, windows_W: NDArray[np.int64] | None) -> str:
    """A room's label within its channel: the window, and from the second room on its number in the window."""
    if windows_W is None:
        return str(part)
    place, later = divmod(part, MAX_PARTS)
    return f"{windows_W[place]}.{later}" if later else str(windows_W[place])


def _silences(times_N: NDArray[np.int64], channels_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number [N] of silences of the row's channel before the row."""
    order = np.lexsort((times_N, channels_N))
    same = np.diff(channels_N[order]) == 0
    silent = np.concatenate([[False], same & (np.diff(times_N[order]) >= SILENCE_MS)])
    counted = np.cumsum(silent)
    starts = np.concatenate([[True], ~same])
    parts = np.empty_like(counted)
    parts[order] = counted - np.maximum.accumulate(np.where(starts, counted, 0))
    return parts
