"""A steer in terms of the live rooms: how far it pulls each of them, and which of its parts. Never scores, never locks.

A room is pulled by the mean of its products with what is asked for and liked, less the mean of those with what is
disliked, and by how much that is above the live rooms' average (Rocchio's method, in The SMART Retrieval System, 1971,
with equal weights): what is like everything pulls nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from actors.requests.asked_text import readable
from actors.requests.room_filter import NONE, Slots
from actors.requests.steer import Steer, Steered
from actors.requests.text_vectors import TextVector, TextVectors
from actors.state.content_index import ContentIndex
from actors.state.room_table import RoomTable
from streaming.events import RoomId

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Pull:
    """What a steer does to the live rooms.

    gain_S: what each room's score gains, by slot, in units of the baseline ranker's; 0 for a room without content.
    names: of what is asked for and liked, which pull in the directions vectors_AD. disliked_H: slots of live rooms.
    """

    gain_S: Floats
    names: tuple[str, ...]
    vectors_AD: Floats
    disliked_H: Slots
    became: Steered

    def nearest(self, vectors_KD: NDArray[np.float16]) -> list[str]:
        """Per room the name of what it is most like among what is asked for and liked; "" for none."""
        if not self.names or vectors_KD.shape[1] != self.vectors_AD.shape[1]:
            return [""] * len(vectors_KD)
        product_KA = np.nan_to_num(vectors_KD.astype(np.float32)) @ self.vectors_AD.T
        best_K, most_K = product_KA.argmax(axis=1).tolist(), product_KA.max(axis=1).tolist()
        return [self.names[best] if most > 0 else "" for best, most in zip(best_K, most_K, strict=True)]


@dataclass(slots=True)
class _Parts:
    """The vectors of what pulls, and what has none."""

    names: list[str]
    towards: list[Floats]
    away: list[Floats]
    ended: list[str]
    unknown: list[str]


class Pulls:
    """Makes pulls of steers. The caller holds the tables' lock."""

    def __init__(self, rooms: RoomTable, content: ContentIndex, texts: TextVectors, weight: float) -> None:
        """texts: those that are not in it count for nothing. weight: of a product of 1."""
        self._rooms = rooms
        self._content = content
        self._texts = texts
        self._weight = weight

    def of(self, steer: Steer) -> Pull:
        """The pull as of now. Raises RequestError: the text says nothing."""
        text = None if steer.text is None else readable(steer.text, "steer.text")
        vector = None if text is None else self._texts.get(text, self._rooms.encoder)
        parts = self._parts(steer, text, vector)
        gain_S = np.zeros(len(self._rooms.live_N), np.float32)
        if parts.towards or parts.away:
            products_N = self._products(parts)
            mean = np.nanmean(products_N) if not np.isnan(products_N).all() else 0.0
            gain_S[: len(products_N)] = np.nan_to_num(products_N - mean) * np.float32(self._weight * steer.strength)
        disliked = [snapshot.slot for name in steer.disliked if (snapshot := self._rooms.snapshots.get(RoomId(name)))]
        return Pull(
            gain_S,
            tuple(parts.names),
            np.stack(parts.towards) if parts.towards else np.zeros((0, self._rooms.dimension), np.float32),
            np.array(disliked, np.int64) if disliked else NONE,
            Steered(
                text=UNSET if text is None else "used" if vector is not None else "unavailable",
                ended=list(dict.fromkeys(parts.ended)),
                unknown=list(dict.fromkeys(parts.unknown)),
            ),
        )

    def _parts(self, steer: Steer, text: str | None, vector: TextVector | None) -> _Parts:
        parts = _Parts([], [], [], [], [])
        if text is not None and vector is not None:
            parts.names.append(f'"{text}"')
            parts.towards.append(vector.vector_D)
        for name in dict.fromkeys(steer.liked):
            if (liked_D := self._vector(name, parts)) is not None:
                parts.names.append(self._streamer(name))
                parts.towards.append(liked_D)
        for name in dict.fromkeys(steer.disliked):
            if (disliked_D := self._vector(name, parts)) is not None:
                parts.away.append(disliked_D)
        return parts

    def _vector(self, name: str, parts: _Parts) -> Floats | None:
        """A room's content vector, float32 [D], live or as it ended; None is noted in the parts."""
        snapshot, ended = self._rooms.snapshots.get(RoomId(name)), self._rooms.ended.get(RoomId(name))
        vector_D = None
        if snapshot is not None and self._rooms.dimension:
            vector_D = self._rooms.vectors_ND[snapshot.slot]
        elif ended is not None:
            vector_D = ended.vector_D
        if vector_D is None or np.isnan(vector_D[0]):
            parts.unknown.append(name)
            return None
        if snapshot is None:
            parts.ended.append(name)
        whole_D: Floats = vector_D.astype(np.float32)
        return whole_D

    def _streamer(self, name: str) -> str:
        state = self._rooms.held(RoomId(name))
        return name if state is None else state.streamer

    def _products(self, parts: _Parts) -> Floats:
        """Products of each room with what pulls, float32 by slot, NaN for a room without content."""
        query_D = np.zeros_like((parts.towards or parts.away)[0])
        if parts.towards:
            query_D += np.mean(parts.towards, axis=0)
        if parts.away:
            query_D -= np.mean(parts.away, axis=0)
        return self._content.products(query_D, self._rooms.encoder)
