"""Tables of transitions between streamers, co-visits and total visits, as a version carries them. Never counts.

They are part of a version: counts of weeks change little in a day. Changes within minutes, such as a raid, are counted
online (`ArrivalColumns` in training/features/columns.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.features.visit_sequence import LONGEST_HABITS
from training.inference import candidate_kernels

MOST = 64  # streamers kept a row, the most frequent: past them counts are ones


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """A sparse matrix of S rows: the entries of row s are [start_S[s], start_S[s + 1])."""

    start_S: NDArray[np.int64]
    streamer_X: NDArray[np.int32]  # row of the streamer
    value_XK: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Transitions:
    """Transitions, co-visits and totals counted up to one time, by rows of S streamers, 0 for the unknown.

    counts: [all transitions, first visits among them] from a streamer to another. cosines: [cosine of their visitors].
    totals_S3: columns as TOTALS in training/model/config.py.
    """

    counts: Sparse
    cosines: Sparse
    totals_S3: NDArray[np.float32]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays of a version's file, by name."""
        named = {"moves": self.counts, "shared": self.cosines}
        arrays = {
            f"transitions.{name}.{part}": getattr(sparse, part)
            for name, sparse in named.items()
            for part in ("start_S", "streamer_X", "value_XK")
        }
        return {**arrays, "transitions.totals_S3": self.totals_S3}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Transitions:
        """The tables in a version's arrays. Raises KeyError: one is missing."""
        names = ("start_S", "streamer_X", "value_XK")
        counts, cosines = (
            Sparse(*(np.array(arrays[f"transitions.{name}.{part}"]) for part in names)) for name in ("moves", "shared")
        )
        return cls(counts, cosines, arrays["transitions.totals_S3"])  # type: ignore[arg-type]

    def from_visits(self, visited: Sequence[int]) -> ViewerTransitions:
        """The transitions that matter to a viewer.

        visited: rows of the streamers visited, oldest first, with repetitions, 0 for unknown.
        """
        last_first = dict.fromkeys(reversed(visited))
        known_H = np.array([row for row in last_first if row][:LONGEST_HABITS], np.int64)
        starts_S = self.cosines.start_S
        return ViewerTransitions(
            self, visited[-1] if visited else 0, known_H[starts_S[known_H] < starts_S[known_H + 1]]
        )


@dataclass(frozen=True, slots=True, eq=False)
class ViewerTransitions:
    """The transitions that matter to one viewer: where others went from the streamers this viewer knows.

    last: the row of the streamer they were with last, 0 for unknown. known_H: rows of visited streamers with co-visits.
    """

    among: Transitions
    last: int
    known_H: NDArray[np.int64]

    def columns(self, rows_N: NDArray[np.int32]) -> NDArray[np.float32]:
        """Features of N rooms, float32 [N, 4], columns as LEARNED in training/model/config.py.

        rows_N: rows of the rooms' streamers. Shares are among these rooms.
        """
        counts, cosines = self.among.counts, self.among.cosines
        columns_N4: NDArray[np.float32] = candidate_kernels.transition_shares(
            rows_N,
            self.last,
            self.known_H,
            counts.start_S,
            counts.streamer_X,
            counts.value_XK,
            cosines.start_S,
            cosines.streamer_X,
            cosines.value_XK,
        )
        return columns_N4


def sparse(rows: Sequence[Mapping[int, Sequence[float] | NDArray[np.float32]]], values: int) -> Sparse:
    """A sparse matrix with the MOST largest entries of each row by their first value; equal ones by streamer's row.

    values: the number of values per entry.
    """
    starts, streamers, kept = [0], [], []
    for row in rows:
        most = sorted(sorted(row, key=lambda other: (-row[other][0], other))[:MOST])
        streamers += most
        kept += [np.asarray(row[other], np.float32) for other in most]
        starts.append(len(streamers))
    value_XK = np.stack(kept) if kept else np.zeros((0, values), np.float32)
    return Sparse(np.array(starts, np.int64), np.array(streamers, np.int32), value_XK)
