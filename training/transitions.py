"""Owns where viewers go from where, which streamers share viewers, and how many each has had. Never counts.

Part of a version: what is counted over weeks changes little in a day. What changes in minutes, a raid, is counted
online (`Arrivals` in training/features.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.paths import LONGEST_HABITS

MOST = 64  # streamers kept a row, the most frequent: past them counts are ones


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """S rows of few entries each: those of row s are [start_S[s], start_S[s + 1])."""

    start_S: NDArray[np.int64]
    streamer_X: NDArray[np.int32]  # row of the streamer
    value_XK: NDArray[np.float32]

    def span(self, streamer: int) -> slice:
        """Where the entries of a row are."""
        return slice(*self.start_S[streamer : streamer + 2].tolist())


@dataclass(frozen=True, slots=True, eq=False)
class Transitions:
    """As counted up to a moment, by rows of S streamers, 0 for the unknown.

    moves: [all moves, first moves] from a streamer to another; shared: [cosine of their visitors]. totals: as TOTALS in
    training/model_config.py.
    """

    moves: Sparse
    shared: Sparse
    totals_S3: NDArray[np.float32]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """For a version's file."""
        named = {"moves": self.moves, "shared": self.shared}
        arrays = {
            f"transitions.{name}.{part}": getattr(sparse, part)
            for name, sparse in named.items()
            for part in ("start_S", "streamer_X", "value_XK")
        }
        return {**arrays, "transitions.totals_S3": self.totals_S3}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Transitions:
        """The same from such arrays. Raises KeyError."""
        names = ("start_S", "streamer_X", "value_XK")
        moves, shared = (
            Sparse(*(arrays[f"transitions.{name}.{part}"] for part in names))  # type: ignore[arg-type]
            for name in ("moves", "shared")
        )
        return cls(moves, shared, arrays["transitions.totals_S3"])  # type: ignore[arg-type]

    def from_visits(self, visited: Sequence[int]) -> Trails:
        """visited: rows of the streamers visited, oldest first, repetitions among them, 0 for the unknown."""
        last_first = dict.fromkeys(reversed(visited))
        known = [row for row in last_first if row][:LONGEST_HABITS]
        spans = [span for row in known if (span := self.shared.span(row)).start < span.stop]
        moved = self.moves.span(visited[-1]) if visited and visited[-1] else slice(0, 0)
        if not spans and moved.start == moved.stop:
            return NOWHERE
        to_X = np.concatenate([self.moves.streamer_X[moved], *[self.shared.streamer_X[span] for span in spans]])
        cosine_X = np.concatenate([np.zeros(0, np.float32), *[self.shared.value_XK[span, 0] for span in spans]])
        rows_U, place_X = np.unique(to_X, return_inverse=True)
        place_M, place_C = np.split(place_X, [moved.stop - moved.start])
        values_U4 = np.zeros((len(rows_U), 4), np.float32)
        values_U4[place_M, :2] = self.moves.value_XK[moved]
        values_U4[:, 2] = np.bincount(place_C, cosine_X, len(rows_U)) / max(len(spans), 1)
        np.maximum.at(values_U4[:, 3], place_C, cosine_X)
        return Trails(rows_U, values_U4)


@dataclass(frozen=True, slots=True, eq=False)
class Trails:
    """From one viewer's past: to which streamers others went. rows_U: ascending, of U streamers.

    values_U4: moves, first moves, mean and largest cosine.
    """

    rows_U: NDArray[np.int32]
    values_U4: NDArray[np.float32]

    def columns(self, rows_N: NDArray[np.int32]) -> NDArray[np.float32]:
        """[N, 4]: as LEARNED in training/model_config.py has them; shares are among these rooms."""
        columns_N4 = np.zeros((len(rows_N), 4), np.float32)
        if len(self.rows_U):
            place_N = np.minimum(np.searchsorted(self.rows_U, rows_N), len(self.rows_U) - 1)
            found = np.flatnonzero(self.rows_U[place_N] == rows_N)
            columns_N4[found] = self.values_U4[place_N[found]]
            columns_N4[:, :2] /= np.maximum(columns_N4[:, :2].sum(axis=0), 1.0)
        return columns_N4


NOWHERE = Trails(np.zeros(0, np.int32), np.zeros((0, 4), np.float32))


def sparse(rows: Sequence[Mapping[int, Sequence[float] | NDArray[np.float32]]], values: int) -> Sparse:
    """Of each row the MOST largest by their first value; equal ones by the streamer's row."""
    starts, streamers, kept = [0], [], []
    for row in rows:
        most = sorted(sorted(row, key=lambda other: (-row[other][0], other))[:MOST])
        streamers += most
        kept += [np.asarray(row[other], np.float32) for other in most]
        starts.append(len(streamers))
    value_XK = np.stack(kept) if kept else np.zeros((0, values), np.float32)
    return Sparse(np.array(starts, np.int64), np.array(streamers, np.int32), value_XK)
