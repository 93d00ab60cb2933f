"""Every room that was shown, as columns: to whom, when, by which version, and what came of it. Never joins an event."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaming.events import Impression
from training.report.numbered import Numbered

DAY_MS = 86_400_000
ERASED = -1  # in the place of a viewer's number


@dataclass(frozen=True, slots=True, eq=False)
class ShownRooms:
    """N rooms shown in A answers to V viewers. stay_s: in all visits that the impression led to.

    viewer, version, experiments: numbers of `viewers`, `versions` and `assignments`. source: of `sources`.
    """

    viewer_N: NDArray[np.int32]
    version_N: NDArray[np.int32]
    experiments_N: NDArray[np.int32]
    day_N: NDArray[np.int32]  # since 1970, UTC
    source_N: NDArray[np.int32]
    position_N: NDArray[np.int32]  # from 1
    entered_N: NDArray[np.bool_]
    followed_N: NDArray[np.bool_]
    stay_s_N: NDArray[np.float64]
    answers: int
    viewers: Sequence[str]
    versions: Sequence[str]
    sources: Sequence[str]
    assignments: Sequence[tuple[tuple[str, str], ...]]  # of an answer: experiment and variant of each

    def __len__(self) -> int:
        return len(self.viewer_N)


class ShownRoomsBuilder:
    """Collects rooms that were shown. An answer has a number, and so has each of its rooms: its row."""

    def __init__(self) -> None:
        self._viewers: Numbered[str] = Numbered()
        self._versions: Numbered[str] = Numbered()
        self._sources: Numbered[str] = Numbered()
        self._assignments: Numbered[tuple[tuple[str, str], ...]] = Numbered()
        self._answer = {name: array("i") for name in ("viewer", "version", "experiments", "day", "rooms", "first")}
        self._source, self._entered, self._followed = array("i"), bytearray(), bytearray()
        self._visit_row: list[int] = []

    @property
    def answers(self) -> int:
        """The number of answers so far."""
        return len(self._answer["day"])

    def add(self, impression: Impression) -> int:
        """Adds an answer's rooms; returns the row of the first."""
        first, count = len(self._source), len(impression.rooms)
        sources = impression.sources if len(impression.sources) == count else ("",) * count
        self._source.extend(map(self._sources.of, sources))
        self._entered.extend(bytes(count))
        self._followed.extend(bytes(count))
        values = {
            "viewer": self._viewers.of(impression.viewer),
            "version": self._versions.of(impression.model_version),
            "experiments": self._assignments.of(assigned(impression)),
            "day": impression.at_ms // DAY_MS,
            "rooms": count,
            "first": impression.first_position,
        }
        for name, value in values.items():
            self._answer[name].append(value)
        return first

    def enter(self, row: int) -> None:
        """Notes that the viewer entered the room; whatever often, it counts once."""
        self._entered[row] = 1

    def follow(self, row: int) -> None:
        """Notes that the viewer followed the streamer; whatever often, it counts once."""
        self._followed[row] = 1

    def visited(self, row: int) -> int:
        """The number of the next visit, which the room of a row led to."""
        self._visit_row.append(row)
        return len(self._visit_row) - 1

    def erase(self, viewer: str) -> None:
        """Leaves out what was shown to a viewer so far."""
        number = self._viewers.forget(viewer)
        if number is not None:
            viewers = np.frombuffer(self._answer["viewer"], np.int32)
            viewers[viewers == number] = ERASED

    def built(self, stay_s_W: NDArray[np.float64]) -> ShownRooms:
        """The columns. stay_s_W: how long each visit was, in the order of their numbers."""
        column = {name: np.array(values, np.int32) for name, values in self._answer.items()}
        rooms_A = column["rooms"]
        stay_s_N = np.zeros(len(self._source))
        np.add.at(stay_s_N, np.array(self._visit_row, np.int64), stay_s_W)
        viewer_N = np.repeat(column["viewer"], rooms_A)
        kept = viewer_N != ERASED
        begin_A = np.cumsum(rooms_A) - rooms_A
        place_N = np.arange(len(viewer_N), dtype=np.int32) - np.repeat(begin_A, rooms_A).astype(np.int32)

        def of_answer(name: str) -> NDArray[np.int32]:
            kept_N: NDArray[np.int32] = np.repeat(column[name], rooms_A)[kept]
            return kept_N

        return ShownRooms(
            viewer_N=viewer_N[kept],
            version_N=of_answer("version"),
            experiments_N=of_answer("experiments"),
            day_N=of_answer("day"),
            source_N=np.array(self._source, np.int32)[kept],
            position_N=of_answer("first") + place_N[kept],
            entered_N=np.frombuffer(bytes(self._entered), np.bool_)[kept],
            followed_N=np.frombuffer(bytes(self._followed), np.bool_)[kept],
            stay_s_N=stay_s_N[kept],
            answers=int(np.count_nonzero(column["viewer"] != ERASED)),
            viewers=self._viewers.all,
            versions=self._versions.all,
            sources=self._sources.all,
            assignments=self._assignments.all,
        )


def assigned(impression: Impression) -> tuple[tuple[str, str], ...]:
    """The experiments that an answer was part of, each with its variant."""
    return tuple((one.experiment, one.variant) for one in impression.experiments)
