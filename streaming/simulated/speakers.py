"""Makes what the simulated platform's streamers say, as a recogniser would write it. Never moves a viewer."""

from __future__ import annotations

import numpy as np

from streaming.events import RoomId, Speech
from streaming.log.codec import encode
from streaming.log.topics import CHAT
from streaming.recorded.playback import Event
from streaming.simulated.broadcasts import Broadcasts
from streaming.simulated.phrases import Phrasebook
from streaming.simulated.population import Population

PAUSE_MS = (5_000, 15_000)  # from one sentence to the next


class Speakers:
    """Draws transcripts, by a generator of its own: without them everything else would be the same."""

    def __init__(self, people: Population, share: int, of: int) -> None:
        self._people = people
        self._share, self._of = share, of
        self._rng = np.random.default_rng((people.config.seed, 3))
        self._book = Phrasebook(people.topics, people.config.seed)
        count = len(people.streamers)
        self._talks_S = self._rng.random(count) < people.config.talking_share
        self._next_ms_S = np.zeros(count, np.int64)  # of each streamer's next sentence

    def tick(self, from_ms: int, to_ms: int, broadcasts: Broadcasts) -> list[Event]:
        """What is said in [from_ms, to_ms) in the rooms that are live."""
        talking = np.flatnonzero(self._talks_S & broadcasts.live_S)
        began = talking[self._next_ms_S[talking] < from_ms]  # the first sentence of a broadcast
        self._next_ms_S[began] = from_ms + self._rng.integers(0, PAUSE_MS[1], len(began))
        due = talking[self._next_ms_S[talking] < to_ms]
        at, seeds = self._next_ms_S[due].copy(), self._rng.integers(0, 1 << 32, len(due))
        self._next_ms_S[due] += self._rng.integers(*PAUSE_MS, len(due))
        languages = self._people.streamer_language_S
        return [
            self._said(
                broadcasts.room_S[streamer], int(broadcasts.topic_S[streamer]), int(languages[streamer]), ms, seed
            )
            for streamer, ms, seed in zip(due.tolist(), at.tolist(), seeds.tolist(), strict=True)
            if streamer % self._of == self._share
        ]

    def _said(self, room: bytes, topic: int, language: int, at_ms: int, seed: int) -> Event:
        text = self._book.speech(topic, language, seed)
        return Event(CHAT, room, encode(Speech(room=RoomId(room.decode()), text=text, at_ms=at_ms)), at_ms)
