"""The live rooms of the simulated platform and their topics. Never moves a viewer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streaming.events import RoomEnded, RoomEvent, RoomId, RoomStarted, RoomUpdated
from streaming.log.codec import encode
from streaming.log.topics import ROOMS
from streaming.recorded.playback import Event
from streaming.simulated.draws import Floats, Ints, WeightedGroups
from streaming.simulated.phrases import LANGUAGES, Phrasebook
from streaming.simulated.population import MIXED_CATEGORY, Population
from streaming.simulated.truth import Broadcast, Truth

SHORTEST_S = 30.0  # of a broadcast, and of the time between two of a streamer
USUAL_SHARE = 0.85  # of the broadcasts, those about the streamer's usual category
RETITLED_SHARE = 0.3  # of the changes of topic, those that the title follows; the others show only in chat
MATURE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Ending:
    """A room that ends: its streamer's index, its id, the time, and the streamer raided by its viewers, or -1."""

    streamer: int
    room: RoomId
    at_ms: int
    raided: int


class Broadcasts:
    """The rooms of S streamers. A streamer has at most one at a time, so a streamer identifies a live room."""

    def __init__(self, people: Population, truth: Truth, rng: np.random.Generator, share: int, of: int) -> None:
        self._people, self._truth, self._rng = people, truth, rng
        self._share, self._of = share, of
        count = len(people.streamers)
        self._phrases = Phrasebook(people.topics, people.config.seed)
        self._room: list[Broadcast | None] = [None] * count
        self._started: list[RoomStarted | None] = [None] * count
        self.live_S = np.zeros(count, np.bool_)
        self.topic_S: Ints = np.zeros(count, np.int64)
        self.popularity_S = np.zeros(count)
        self.room_S: list[bytes] = [b""] * count
        self._turn_ms_S: Floats = np.zeros(count)  # time of the streamer's next start or end
        self._drift_ms_S = np.full(count, np.inf)
        self._regroup()

    def open(self, at_ms: int) -> list[Event]:
        """Starts the rooms that are live when the simulation begins."""
        config = self._people.config
        live = self._rng.permutation(len(self._people.streamers)) < config.rooms
        self._turn_ms_S = at_ms + self._lasting_ms(len(live), self._pause_s())
        events = [self._start(int(streamer), at_ms) for streamer in np.flatnonzero(live)]
        self._regroup()
        return self._mine(events)

    def end(self, from_ms: int, to_ms: int) -> list[Ending]:
        """Ends the rooms whose time comes before `to_ms`."""
        endings = []
        for streamer in np.flatnonzero(self.live_S & (self._turn_ms_S < to_ms)).tolist():
            at_ms = max(from_ms, int(self._turn_ms_S[streamer]))
            self.live_S[streamer] = False
            self._drift_ms_S[streamer] = np.inf
            self._turn_ms_S[streamer] = at_ms + self._lasting_ms(1, self._pause_s())[0]
            room = self._room[streamer]
            assert room is not None
            room.ended_at_ms = at_ms
            endings.append(Ending(streamer, room.room, at_ms, self._raided(streamer)))
        if endings:
            self._regroup()
        return endings

    def ends(self, endings: list[Ending]) -> list[Event]:
        """The events of ended rooms."""
        return self._mine([(e.streamer, RoomEnded(room=e.room, at_ms=e.at_ms)) for e in endings])

    def start_and_drift(self, from_ms: int, to_ms: int) -> list[Event]:
        """Starts rooms, and changes rooms' topics, before `to_ms`. Viewers see the changes from the next tick on."""
        starting = np.flatnonzero(~self.live_S & (self._turn_ms_S < to_ms)).tolist()
        drifting = np.flatnonzero(self.live_S & (self._drift_ms_S < to_ms)).tolist()
        events: list[tuple[int, RoomEvent]] = [self._start(s, max(from_ms, int(self._turn_ms_S[s]))) for s in starting]
        for streamer in drifting:
            events += self._drift(streamer, max(from_ms, int(self._drift_ms_S[streamer])))
        if starting or drifting:
            self._regroup()
        return self._mine(events)

    def close(self, at_ms: int) -> list[Event]:
        """Ends every live room."""
        endings = []
        for streamer in np.flatnonzero(self.live_S).tolist():
            room = self._room[streamer]
            assert room is not None
            room.ended_at_ms = at_ms
            endings.append(Ending(streamer, room.room, at_ms, -1))
        self.live_S[:] = False
        self._regroup()
        return self.ends(endings)

    def _start(self, streamer: int, at_ms: int) -> tuple[int, RoomEvent]:
        people, rng = self._people, self._rng
        usual = rng.random() < USUAL_SHARE
        category = int(people.streamer_categories_S3[streamer, 0 if usual else 1])
        topic = category * people.topics_per_category + int(rng.integers(people.topics_per_category))
        language = int(people.streamer_language_S[streamer])
        room = RoomId(f"{people.streamers[streamer]}-{at_ms:x}")
        popularity = float(people.popularity_S[streamer] * rng.lognormal(0.0, 0.3))
        broadcast = Broadcast(room, streamer, language, popularity, at_ms, [(at_ms, topic)])
        self._truth.add(broadcast)
        self._room[streamer] = broadcast
        self.room_S[streamer] = room.encode()
        self.live_S[streamer], self.topic_S[streamer], self.popularity_S[streamer] = True, topic, popularity
        self._turn_ms_S[streamer] = at_ms + self._lasting_ms(1, people.config.room_lifetime_s)[0]
        self._drift_ms_S[streamer] = at_ms + rng.exponential(people.config.topic_s * 1000)
        spoken = people.topics[topic]
        mixed = bool(people.mixed_S[streamer])
        record = RoomStarted(
            room=room,
            streamer=people.streamers[streamer],
            at_ms=at_ms,
            title=self._phrases.title(topic, language, int(rng.integers(1 << 32))),
            category=MIXED_CATEGORY if mixed else spoken.category,
            language=LANGUAGES[language],
            tags=["chatting"] if mixed else [spoken.name, spoken.category.lower()],
            mature=bool(rng.random() < MATURE_SHARE),
        )
        self._started[streamer] = record
        return streamer, record

    def _drift(self, streamer: int, at_ms: int) -> list[tuple[int, RoomEvent]]:
        people, rng = self._people, self._rng
        per = people.topics_per_category
        category = int(self.topic_S[streamer]) // per
        if people.mixed_S[streamer]:
            category = int(people.streamer_categories_S3[streamer, rng.integers(3)])
        topic = category * per + int(rng.integers(per))
        self.topic_S[streamer] = topic
        self._drift_ms_S[streamer] = at_ms + rng.exponential(people.config.topic_s * 1000)
        broadcast, before = self._room[streamer], self._started[streamer]
        assert broadcast is not None
        assert before is not None
        broadcast.topics.append((at_ms, topic))
        if rng.random() >= RETITLED_SHARE:
            return []
        title = self._phrases.title(topic, broadcast.language, int(rng.integers(1 << 32)))
        tags = before.tags if people.mixed_S[streamer] else [people.topics[topic].name, before.category.lower()]
        restated = {name: getattr(before, name) for name in ("room", "streamer", "category", "language", "mature")}
        return [(streamer, RoomUpdated(at_ms=at_ms, title=title, tags=tags, **restated))]

    def _raided(self, streamer: int) -> int:
        """Draws another live room of the same category, or of any."""
        if self._rng.random() >= self._people.config.raid_share or not self.live_S.any():
            return -1
        same = self.live_S & (
            self.topic_S // self._people.topics_per_category
            == self.topic_S[streamer] // self._people.topics_per_category
        )
        among = np.flatnonzero(same if same.any() else self.live_S)
        return int(self._rng.choice(among))

    def _regroup(self) -> None:
        """Rebuilds the groups for viewers' choices: the live rooms by topic, by category and as a whole."""
        languages, per = len(LANGUAGES), self._people.topics_per_category
        self.live: Ints = np.flatnonzero(self.live_S)
        language, topic, weights = (
            self._people.streamer_language_S[self.live],
            self.topic_S[self.live],
            self.popularity_S[self.live],
        )
        topics = len(self._people.topics)
        self.by_topic = WeightedGroups(topic * languages + language, weights, topics * languages)
        self.by_category = WeightedGroups(topic // per * languages + language, weights, topics // per * languages)
        self.all = WeightedGroups(np.zeros(len(self.live), np.int64), weights, 1)
        self.all_chat = WeightedGroups(np.zeros(len(self.live), np.int64), np.sqrt(weights), 1)

    def _pause_s(self) -> float:
        """Mean time between two broadcasts, so that `rooms` of the streamers are live on average."""
        config = self._people.config
        return config.room_lifetime_s * (config.streamers - config.rooms) / config.rooms

    def _lasting_ms(self, count: int, mean_s: float) -> Floats:
        shortest_s = min(SHORTEST_S, mean_s)
        lasting_ms: Floats = 1000 * (shortest_s + self._rng.exponential(1.0, count) * (mean_s - shortest_s))
        return lasting_ms

    def _mine(self, records: list[tuple[int, RoomEvent]]) -> list[Event]:
        return [
            Event(ROOMS, record.room.encode(), encode(record), record.at_ms)
            for streamer, record in records
            if streamer % self._of == self._share
        ]
