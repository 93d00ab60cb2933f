"""Owns the seam between a replica and a version of the models: what is asked and what comes back. Never computes much.

A replica aligns a room when its state changes, reads a viewer when their profile does, prepares all rooms a few times
a second and ranks in every request; numpy arrays in, numpy arrays out, float32 where nothing else is said. Shapes: N
rooms, V visits, E dimensions of the model's space, L levels of codes, C features.CROWD.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streaming.events import ViewerProfile
from training.features.visit_sequence import PastVisits

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class RoomEmbeddings:
    """N rooms in the model's space, row by row."""

    rows_N: NDArray[np.int32]  # of the streamers in the version's vocabulary, 0 for one it does not know
    vectors_NE: Floats  # of unit length
    content_NE: Floats  # the content's side alone, of unit length; zeros where there is none
    content_gate_N: Floats  # how much the content counts, 0..1
    static_NL: NDArray[np.int16]  # codes of the slow mean
    dynamic_NL: NDArray[np.int16]  # codes of now
    labels_N2: NDArray[np.int32]  # declared language and category, training/content/declared_labels.py

    @classmethod
    def empty(cls, num_rooms: int, like: RoomEmbeddings) -> RoomEmbeddings:
        """Zeros for so many rooms, with the widths of `like`; a row costs no memory until it is written."""
        columns = (getattr(like, column.name) for column in fields(cls))
        return cls(*(np.zeros((num_rooms, *column.shape[1:]), column.dtype) for column in columns))

    @classmethod
    def joined(cls, parts: Sequence[RoomEmbeddings]) -> RoomEmbeddings:
        """All rows of one after the other; at least one part."""
        return cls(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(cls)))

    def take(self, places: NDArray[np.int64]) -> RoomEmbeddings:
        """Copies of some rows."""
        return RoomEmbeddings(
            self.rows_N[places],
            self.vectors_NE[places],
            self.content_NE[places],
            self.content_gate_N[places],
            self.static_NL[places],
            self.dynamic_NL[places],
            self.labels_N2[places],
        )

    def put(self, places: NDArray[np.int64], rooms: RoomEmbeddings) -> None:
        """Overwrites some rows."""
        for column in fields(self):
            getattr(self, column.name)[places] = getattr(rooms, column.name)


@dataclass(frozen=True, slots=True, eq=False)
class ViewerPast:
    """A viewer's V remembered visits as of a moment, the oldest first.

    rooms: as they are now, or were when they ended; of a room that is not remembered, the streamer's without content.
    """

    profile: ViewerProfile
    visits: PastVisits
    rooms: RoomEmbeddings
    hour: float  # of the moment, UTC, 0..24


class ServedViewer(Protocol):
    """What a version makes of a viewer; kept between requests and given back to `rank`."""

    @property
    def vector_E(self) -> Floats:  # noqa: N802  a shape
        """Its products with rooms' vectors say where the viewer goes."""


@dataclass(frozen=True, slots=True, eq=False)
class RequestCandidates:
    """N candidates of one request, each by its slot: whoever ranks gathers the columns that it reads.

    personal: as features.PERSONAL.
    """

    slots_N: NDArray[np.int64]
    rooms: RoomEmbeddings  # by slot
    prepared_SH: Floats  # by slot, from `prepare` within the last second
    personal_NP: Floats


@dataclass(frozen=True, slots=True, eq=False)
class RankedRooms:
    """Probabilities of N candidates, 0..1: that the viewer enters, stays for a minute, interacts."""

    enter_N: Floats
    stay_N: Floats
    interact_N: Floats
    inside: Any = None  # what the version needs to say why; none else can read it


@dataclass(frozen=True, slots=True, eq=False)
class RoomsToExplain:
    """K rooms of which it is asked why they are where they are, by their places among those offered.

    is_drawing: more come to them, or are there, than usual. age_s: since their start, NaN where that is long ago;
    usual_age_s: of the rooms offered.
    """

    places_K: NDArray[np.int64]
    is_drawing_K: NDArray[np.bool_]
    age_s_K: Floats
    usual_age_s: float


class ServedVersion(Protocol):
    """A version in memory. Frozen: for any thread. No call blocks for longer than its arithmetic takes, none raises."""

    @property
    def name(self) -> str: ...
    @property
    def encoder_version(self) -> str: ...
    @property
    def d_content(self) -> int: ...
    @property
    def ranks(self) -> bool:
        """Whether it has a ranker; without one, `prepare` and `rank` are not called."""

    @property
    def max_visits(self) -> int:
        """How many of a viewer's newest visits it looks at."""

    def embed_rooms(
        self,
        streamers: Sequence[str],
        now_ND: Floats,
        mean_ND: Floats,
        labels_N2: NDArray[np.int32] | None = None,
    ) -> RoomEmbeddings:
        """Rooms into the model's space; a room's result does not depend on the others'. labels: None for unknown ones.

        now_ND: content of this moment, NaN rows where there is none. mean_ND: slow mean of segments, zeros for none.
        """

    def viewer(self, past: ViewerPast | None) -> ServedViewer:
        """The viewer. None: a stranger, or a viewer whose visits are forgotten."""

    def prepare(self, crowd_NC: Floats, rooms: RoomEmbeddings) -> Floats:
        """What of ranking depends on the rooms alone, [N, H]: a few times a second, for all rooms live, in slices.

        crowd_NC: their features of features.CROWD; ranks and shares in it are among all rooms live.
        """

    def rank(self, viewer: Any, offered: RequestCandidates) -> RankedRooms:
        """Probabilities of the candidates, in every request. viewer: what `viewer` returned; none else can read it."""

    def log_odds_drops(
        self, viewer: Any, offered: RequestCandidates, ranked: RankedRooms, rooms: RoomsToExplain
    ) -> Floats:
        """[K, C] by how much the log odds of entering some rooms fall without each of causes.CAUSES, in every request.

        ranked: what `rank` returned for the same.
        """
