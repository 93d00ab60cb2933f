"""Figures per impression, whole and by what was shown: version, source, position, day. Never reads the log.

An impression is a room that was shown in an answer. Entered: the viewer entered the room, once at most. Stay: seconds
in the visits that it led to. Followed: the viewer followed the streamer. Each is divided by the impressions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.report.clustered_ratio import Ratio, ratio
from training.report.shown_rooms import ShownRooms

Dimension = Literal["version", "source", "position", "day"]
DIMENSIONS: tuple[Dimension, ...] = ("version", "source", "position", "day")
MOST_POSITIONS = 20  # further ones are one row


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of some impressions, each with a 95 % interval by viewer. stay_s: seconds."""

    name: str
    viewers: int
    impressions: int
    enters: int
    follows: int
    enter: Ratio
    stay_s: Ratio
    follow: Ratio


@dataclass(frozen=True, slots=True, eq=False)
class ViewerSums:
    """The sums of each of V viewers, float64 [V]; only viewers with an impression."""

    viewer_V: NDArray[np.int32]
    shown_V: NDArray[np.float64]
    entered_V: NDArray[np.float64]
    stay_s_V: NDArray[np.float64]
    followed_V: NDArray[np.float64]

    def of(self, chosen_V: NDArray[np.bool_]) -> ViewerSums:
        """The sums of some of the viewers."""
        return ViewerSums(
            self.viewer_V[chosen_V],
            self.shown_V[chosen_V],
            self.entered_V[chosen_V],
            self.stay_s_V[chosen_V],
            self.followed_V[chosen_V],
        )


def sums_of(shown: ShownRooms, chosen_N: NDArray[np.bool_] | None = None) -> ViewerSums:
    """The sums by viewer, of the chosen impressions or all."""
    chosen = slice(None) if chosen_N is None else chosen_N
    viewer_V, index_N = np.unique(shown.viewer_N[chosen], return_inverse=True)

    def summed(values_N: NDArray[np.float64] | None) -> NDArray[np.float64]:
        return np.bincount(index_N, values_N, len(viewer_V)).astype(np.float64)

    return ViewerSums(
        viewer_V.astype(np.int32),
        summed(None),
        summed(shown.entered_N[chosen].astype(np.float64)),
        summed(shown.stay_s_N[chosen]),
        summed(shown.followed_N[chosen].astype(np.float64)),
    )


def figures_of(name: str, sums: ViewerSums) -> Figures:
    """The figures of these viewers' impressions."""
    return Figures(
        name=name,
        viewers=len(sums.viewer_V),
        impressions=int(sums.shown_V.sum()),
        enters=int(sums.entered_V.sum()),
        follows=int(sums.followed_V.sum()),
        enter=ratio(sums.entered_V, sums.shown_V),
        stay_s=ratio(sums.stay_s_V, sums.shown_V),
        follow=ratio(sums.followed_V, sums.shown_V),
    )


def whole(shown: ShownRooms) -> Figures:
    """The figures of all impressions."""
    return figures_of("all", sums_of(shown))


def by(shown: ShownRooms, dimension: Dimension) -> list[Figures]:
    """The figures of each version, source, position or day, of those that occur: days in order, the others too."""
    key_N, names = _keys(shown, dimension)
    return [figures_of(names[key], sums_of(shown, key_N == key)) for key in np.unique(key_N).tolist()]


def _keys(shown: ShownRooms, dimension: Dimension) -> tuple[NDArray[np.int32], Sequence[str] | dict[int, str]]:
    """What each impression counts under, and the names of these."""
    if dimension == "version":
        return shown.version_N, shown.versions
    if dimension == "source":
        return shown.source_N, [source or "not noted" for source in shown.sources]
    if dimension == "position":
        further = MOST_POSITIONS + 1
        names = {place: str(place) for place in range(1, further)} | {further: f"{further} on"}
        return np.clip(shown.position_N, 1, further).astype(np.int32), names
    days = {day: _date(day) for day in np.unique(shown.day_N).tolist()}
    return shown.day_N, days


def _date(day: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).date().isoformat()
