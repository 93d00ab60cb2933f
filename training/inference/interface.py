"""The interface between a replica and a model version: requests and results. Never computes much.

A replica computes a room's embedding when its state changes, and a viewer's when their profile does. It prepares all
rooms a few times a second, and ranks in every request. Numpy arrays in, numpy arrays out, float32 where nothing else is
said. Shapes: N rooms, V visits, E dimensions of the model's space, L levels of codes, C features.ROOM_FEATURES.
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
    """Embeddings of N rooms in the model's space, with their codes and labels, row by row."""

    rows_N: NDArray[np.int32]  # of the streamers in the version's vocabulary, 0 for one it does not know
    vectors_NE: Floats  # of unit length
    content_NE: Floats  # the content's side alone, of unit length; zeros where there is none
    content_gate_N: Floats  # λ: how much the content counts in the vector, 0..1
    static_NL: NDArray[np.int16]  # codes of the slow mean
    dynamic_NL: NDArray[np.int16]  # codes of now
    labels_N2: NDArray[np.int32]  # declared language and category, training/content/declared_labels.py

    @classmethod
    def empty(cls, num_rooms: int, like: RoomEmbeddings) -> RoomEmbeddings:
        """Zeros for num_rooms rooms, with the widths of `like`; a row costs no memory until it is written."""
        columns = (getattr(like, column.name) for column in fields(cls))
        return cls(*(np.zeros((num_rooms, *column.shape[1:]), column.dtype) for column in columns))

    @classmethod
    def joined(cls, parts: Sequence[RoomEmbeddings]) -> RoomEmbeddings:
        """The rows of all parts, one part after the other; at least one part."""
        return cls(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(cls)))

    def take(self, places: NDArray[np.int64]) -> RoomEmbeddings:
        """Copies of the rows at some places."""
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
        """Overwrites the rows at some places."""
        for column in fields(self):
            getattr(self, column.name)[places] = getattr(rooms, column.name)


@dataclass(frozen=True, slots=True, eq=False)
class ViewerPast:
    """A viewer's profile, their V remembered visits, oldest first, and the embeddings of the rooms visited.

    rooms: as they are now, or were when they ended. For a room that is forgotten: the streamer's, without content.
    """

    profile: ViewerProfile
    visits: PastVisits
    rooms: RoomEmbeddings
    hour: float  # of the day now, UTC, 0..24


class ServedViewer(Protocol):
    """A viewer as a version sees them; replicas keep it between requests and pass it to `rank`."""

    @property
    def vector_E(self) -> Floats:  # noqa: N802  a shape
        """The viewer's vector, float32 [E]; its product with a room's vector says how well the two fit."""


@dataclass(frozen=True, slots=True, eq=False)
class RequestCandidates:
    """The N candidates of one request, by slot; the ranker gathers the columns that it reads.

    viewer_features_NP: columns as features.VIEWER_FEATURES.
    """

    slots_N: NDArray[np.int64]
    rooms: RoomEmbeddings  # by slot
    prepared_SH: Floats  # by slot, from `prepare` within the last second
    viewer_features_NP: Floats


@dataclass(frozen=True, slots=True, eq=False)
class RankedRooms:
    """Probabilities of N candidates, 0..1: that the viewer enters; once there stays for a minute, interacts, leaves.

    leave_N: that they leave within 10 s, or what the version has learned as that; None where it has no such head.
    """

    enter_N: Floats
    stay_N: Floats
    interact_N: Floats
    leave_N: Floats | None = None
    inside: Any = None  # the version's own intermediate results, for `log_odds_drops`


@dataclass(frozen=True, slots=True, eq=False)
class RoomsToExplain:
    """The K rooms of an answer whose ranks are to be explained, by their places among the candidates.

    is_drawing_K: whether more viewers come to them, or are there, than usual. age_s_K: seconds since their start, NaN
    where that is long ago. usual_age_s: the usual age of a candidate.
    """

    places_K: NDArray[np.int64]
    is_drawing_K: NDArray[np.bool_]
    age_s_K: Floats
    usual_age_s: float


class ServedVersion(Protocol):
    """A model version in memory. Frozen, for any thread. No call raises, or blocks longer than its arithmetic takes."""

    @property
    def name(self) -> str:
        """The version's name."""

    @property
    def encoder_version(self) -> str:
        """The version of the encoder whose vectors it reads."""

    @property
    def d_content(self) -> int:
        """The dimension of those vectors."""

    @property
    def ranks(self) -> bool:
        """Whether it has a ranker; without one, `prepare` and `rank` are not called."""

    @property
    def max_visits(self) -> int:
        """The number of a viewer's newest visits that it looks at."""

    def embed_rooms(
        self,
        streamers: Sequence[str],
        now_ND: Floats,
        mean_ND: Floats,
        labels_N2: NDArray[np.int32] | None = None,
    ) -> RoomEmbeddings:
        """Embeddings of N rooms; a room's does not depend on the others. labels_N2: None where they are unknown.

        now_ND: content of now, NaN rows where there is none. mean_ND: slow mean of segments, zeros for none.
        """

    def viewer(self, past: ViewerPast | None) -> ServedViewer:
        """The viewer as the version sees them. None: a cold-start viewer, or one whose visits are forgotten."""

    def prepare(self, room_features_NC: Floats, rooms: RoomEmbeddings) -> Floats:
        """The part of ranking that depends on the rooms alone, [N, H].

        Called a few times a second for all live rooms, in slices. room_features_NC: columns as features.ROOM_FEATURES;
        ranks and shares in them are among all live rooms.
        """

    def rank(self, viewer: Any, offered: RequestCandidates) -> RankedRooms:
        """Probabilities of the candidates of one request. viewer: from this version's `viewer`, and no other's."""

    def log_odds_drops(
        self, viewer: Any, offered: RequestCandidates, ranked: RankedRooms, rooms: RoomsToExplain
    ) -> Floats:
        """Drops of the log odds of entering, float32 [K, C]: of K rooms, without each of causes.CAUSES.

        Called in every request. ranked: the result of `rank` for the same candidates.
        """
