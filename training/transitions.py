"""Owns where viewers go from where, and which streamers share viewers, as counted up to a moment. Never counts.

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

    def row(self, streamer: int) -> dict[int, NDArray[np.float32]]:
        """Values by the other streamer's row."""
        start, end = self.start_S[streamer : streamer + 2].tolist()
        return dict(zip(self.streamer_X[start:end].tolist(), self.value_XK[start:end], strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Transitions:
    """moves: [all moves, first moves] from a streamer to another; shared: [cosine of their visitors]."""

    moves: Sparse
    shared: Sparse

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """For a version's file."""
        named = {"moves": self.moves, "shared": self.shared}
        return {
            f"transitions.{name}.{part}": getattr(sparse, part)
            for name, sparse in named.items()
            for part in ("start_S", "streamer_X", "value_XK")
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Transitions:
        """The same from such arrays. Raises KeyError."""
        names = ("start_S", "streamer_X", "value_XK")
        moves, shared = (
            Sparse(*(arrays[f"transitions.{name}.{part}"] for part in names))  # type: ignore[arg-type]
            for name in ("moves", "shared")
        )
        return cls(moves, shared)

    def from_visits(self, visited: Sequence[int]) -> Trails:
        """visited: rows of the streamers visited, oldest first, repetitions among them, 0 for the unknown."""
        if not visited:
            return Trails({}, [])
        last_first = list(dict.fromkeys(reversed(visited)))
        known = [row for row in last_first if row][:LONGEST_HABITS]
        shared = [found for row in known if (found := self.shared.row(row))]
        return Trails(self.moves.row(visited[-1]) if visited[-1] else {}, shared)


@dataclass(frozen=True, slots=True, eq=False)
class Trails:
    """From one viewer's past: to which streamers others went."""

    moves: Mapping[int, NDArray[np.float32]]
    shared: Sequence[Mapping[int, NDArray[np.float32]]]

    def columns(self, rows_N: Sequence[int]) -> NDArray[np.float32]:
        """[N, 4]: as LEARNED in training/model.py has them; shares are among these rooms."""
        columns_N4 = np.zeros((len(rows_N), 4), np.float32)
        for place, row in enumerate(rows_N):
            if row in self.moves:
                columns_N4[place, :2] = self.moves[row]
            cosines = [float(shared[row][0]) for shared in self.shared if row in shared]
            if cosines:
                columns_N4[place, 2:] = sum(cosines) / len(self.shared), max(cosines)
        columns_N4[:, :2] /= np.maximum(columns_N4[:, :2].sum(axis=0), 1.0)
        return columns_N4


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
