"""The viewers of the simulated platform: their rooms, and their moves by the ground truth. Never writes chat."""

from __future__ import annotations

from typing import Any

import numpy as np

from streaming.log.topics import VIEWER_EVENTS
from streaming.recorded.playback import Event
from streaming.simulated.broadcasts import Broadcasts, Ending
from streaming.simulated.draws import Floats, Ints, one_of
from streaming.simulated.phrases import LANGUAGES
from streaming.simulated.population import FAVOURITE_WEIGHTS, Population
from streaming.simulated.truth import ENGLISH, OWN_LANGUAGE_SHARE, TOPIC_SHARE

ARRIVAL_MS = 10_000  # the first viewers arrive within it, because rooms are empty when the simulation begins
SHORTEST_VISIT_MS = 3_000
BORED_MS = 10_000  # who is bored has left by then
SAID_LEAVE_SHARE = 0.5  # of the moves to another room, those where the player reports a leave of the first
NOWHERE = -1
REACTIONS = (b"like", b"gift", b"follow")
REACTION_SHARES = (0.85, 0.05, 0.10)


class Audience:
    """M viewers, each in one room (identified by its streamer) or nowhere."""

    def __init__(self, people: Population, rng: np.random.Generator, share: int, of: int) -> None:
        self._people, self._rng = people, rng
        count = len(people.viewers)
        self._mine_M = np.arange(count) % of == share
        self.viewer_M = [viewer.encode() for viewer in people.viewers]
        self._streamer_S = [streamer.encode() for streamer in people.streamers]
        self.room_M: Ints = np.full(count, NOWHERE, np.int64)
        self.next_ms_M = np.full(count, np.inf)  # when the viewer chooses again
        self._sent_to_M: Ints = np.full(count, NOWHERE, np.int64)  # by a raid
        self._entered_ms_M = np.zeros(count)
        self._beat_ms_M = np.zeros(count)  # time of the last report of watching

    def arrive(self, at_ms: int) -> None:
        """Schedules the arrivals: `online_share` of the viewers come within ARRIVAL_MS, the others later."""
        count, config = len(self.room_M), self._people.config
        here = self._rng.random(count) < config.online_share
        self.next_ms_M = at_ms + np.where(here, self._rng.random(count) * ARRIVAL_MS, self._gap_ms(np.arange(count)))

    def send_away(self, endings: list[Ending], broadcasts: Broadcasts) -> None:
        """Makes viewers of ending rooms choose again at that moment; a raid chooses for them."""
        for ending in endings:
            members = np.flatnonzero(self.room_M == ending.streamer)
            self.next_ms_M[members] = np.minimum(self.next_ms_M[members], ending.at_ms)
            if ending.raided != NOWHERE and broadcasts.live_S[ending.raided]:
                self._sent_to_M[members] = ending.raided

    def tick(self, from_ms: int, to_ms: int, broadcasts: Broadcasts) -> list[Event]:
        """All events of viewers before `to_ms`, except chat."""
        events = self._beats(from_ms, to_ms, broadcasts)
        events += self._reactions(from_ms, to_ms, broadcasts)
        events += self._moves(from_ms, to_ms, broadcasts)
        return events

    def choose(self, viewers_K: Ints, broadcasts: Broadcasts) -> Ints:
        """Draws each viewer's next room by `Moment.affinity`: streamers [K], NOWHERE if no room is live."""
        config, rng, count = self._people.config, self._rng, len(viewers_K)
        if not len(broadcasts.live):
            return np.full(count, NOWHERE, np.int64)
        any_K = broadcasts.live[broadcasts.all.draw(np.zeros(count, np.int64), rng.random(count))]
        habit_K = self._favourite(viewers_K, broadcasts)
        taste_K = self._by_taste(viewers_K, any_K, broadcasts)
        kind_K = rng.random(count)
        by_habit = (kind_K < config.return_share) & (habit_K != NOWHERE)
        chosen_K = np.where(by_habit, habit_K, taste_K)
        return np.where(rng.random(count) < config.noise_share, any_K, chosen_K)

    def _favourite(self, viewers_K: Ints, broadcasts: Broadcasts) -> Ints:
        favourites_KF = self._people.favourites_MF[viewers_K]
        weights_KF = np.array(FAVOURITE_WEIGHTS) * ((favourites_KF >= 0) & broadcasts.live_S[favourites_KF])
        column_K = one_of(weights_KF, self._rng.random(len(viewers_K)))
        return np.where(column_K >= 0, favourites_KF[np.arange(len(viewers_K)), column_K], NOWHERE)

    def _by_taste(self, viewers_K: Ints, otherwise_K: Ints, broadcasts: Broadcasts) -> Ints:
        people, rng, count, languages = self._people, self._rng, len(viewers_K), len(LANGUAGES)
        slot_K = one_of(people.taste_weights_MT[viewers_K], rng.random(count))
        own_K = rng.random(count) < OWN_LANGUAGE_SHARE
        language_K = np.where(own_K, people.viewer_language_M[viewers_K], ENGLISH)
        topic_K = people.preferred_topics_MT[viewers_K, slot_K]
        category_K = people.tastes_MT[viewers_K, slot_K]
        wide_K = broadcasts.by_category.draw(category_K * languages + language_K, rng.random(count))
        narrow_K = broadcasts.by_topic.draw(topic_K * languages + language_K, rng.random(count))
        drawn_K = np.where((rng.random(count) < TOPIC_SHARE) & (narrow_K >= 0), narrow_K, wide_K)
        return np.where(drawn_K >= 0, broadcasts.live[drawn_K], otherwise_K)

    def _moves(self, from_ms: int, to_ms: int, broadcasts: Broadcasts) -> list[Event]:
        rng = self._rng
        due = np.flatnonzero(self.next_ms_M < to_ms)
        if not len(due):
            return []
        at = np.maximum(self.next_ms_M[due], from_ms).astype(np.int64)
        was = self.room_M[due]
        sent_to = self._sent_to_M[due]
        stays = (was == NOWHERE) | (sent_to != NOWHERE) | (rng.random(len(due)) < self._people.config.hop_share)
        target = np.where(sent_to != NOWHERE, sent_to, self.choose(due, broadcasts))
        target = np.where(stays, target, NOWHERE)
        moved = target != was
        said = moved & (was != NOWHERE) & ((target == NOWHERE) | (rng.random(len(due)) < SAID_LEAVE_SHARE))
        seconds = np.where(was != NOWHERE, at - self._beat_ms_M[due], 0.0) / 1000
        watched = moved & (seconds > 0) & self._mine_M[due]
        left = said & self._mine_M[due]
        came = moved & (target != NOWHERE) & self._mine_M[due]
        events = self.encode(b"watch", due[watched], was[watched], at[watched], broadcasts, seconds=seconds[watched])
        events += self.encode(b"leave", due[left], was[left], at[left], broadcasts)
        # The log keeps the order of one viewer's records; one ms later keeps it for readers that order by time, too.
        events += self.encode(b"enter", due[came], target[came], np.minimum(at[came] + 1, to_ms - 1), broadcasts)
        entered = due[moved]
        self.room_M[due] = target
        self._sent_to_M[due] = NOWHERE
        self._entered_ms_M[entered] = self._beat_ms_M[entered] = at[moved]
        visit = self._visit_ms(due, target, broadcasts)
        self.next_ms_M[due] = at + np.where(target != NOWHERE, visit, self._gap_ms(due))
        return events

    def _visit_ms(self, viewers_K: Ints, target_K: Ints, broadcasts: Broadcasts) -> Floats:
        """Draws how long each viewer watches the room that they enter, float64 [K]."""
        config, rng, count = self._people.config, self._rng, len(viewers_K)
        visit_ms_K: Floats = np.maximum(SHORTEST_VISIT_MS, rng.exponential(config.visit_s * 1000, count))
        if not config.bored_share:  # nothing is drawn: the same platform as without it
            return visit_ms_K
        bored_K = (rng.random(count) < config.bored_share) & ~self._liked(viewers_K, target_K, broadcasts)
        return np.where(bored_K, rng.uniform(SHORTEST_VISIT_MS, BORED_MS, count), visit_ms_K)

    def _liked(self, viewers_K: Ints, target_K: Ints, broadcasts: Broadcasts) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether each room is about a category that its viewer likes, or of a favourite streamer, bool [K]."""
        people = self._people
        category_K1 = (broadcasts.topic_S[target_K] // people.topics_per_category)[:, None]
        likes_KT = (people.tastes_MT[viewers_K] == category_K1) & (people.taste_weights_MT[viewers_K] > 0)
        favourite_KF = people.favourites_MF[viewers_K] == target_K[:, None]
        liked_K: np.ndarray[Any, np.dtype[np.bool_]] = likes_KT.any(axis=1) | favourite_KF.any(axis=1)
        return liked_K

    def _beats(self, from_ms: int, to_ms: int, broadcasts: Broadcasts) -> list[Event]:
        """The players' `watch` events, one every `watch_every_s`."""
        every_ms = self._people.config.watch_every_s * 1000
        beat = self._beat_ms_M + every_ms
        due = np.flatnonzero((self.room_M != NOWHERE) & (beat < np.minimum(to_ms, self.next_ms_M)))
        at = np.maximum(beat[due], from_ms).astype(np.int64)
        seconds = (at - self._beat_ms_M[due]) / 1000
        self._beat_ms_M[due] = at
        mine = self._mine_M[due]
        return self.encode(b"watch", due[mine], self.room_M[due][mine], at[mine], broadcasts, seconds=seconds[mine])

    def _reactions(self, from_ms: int, to_ms: int, broadcasts: Broadcasts) -> list[Event]:
        rng, config = self._rng, self._people.config
        rate = config.reaction_per_viewer_s * (to_ms - from_ms) / 1000
        drawn = np.flatnonzero((self.room_M != NOWHERE) & (rng.random(len(self.room_M)) < rate))
        kinds = rng.choice(len(REACTIONS), len(drawn), p=REACTION_SHARES)
        at = self.before_moving(drawn, rng.integers(from_ms, to_ms, len(drawn)), from_ms)
        mine = self._mine_M[drawn]
        events: list[Event] = []
        for kind, action in enumerate(REACTIONS):
            of = mine & (kinds == kind)
            events += self.encode(action, drawn[of], self.room_M[drawn[of]], at[of], broadcasts)
        return events

    def before_moving(self, viewers_K: Ints, at_K: Ints, from_ms: int) -> Ints:
        """Moves times that come after the viewers' next move before it."""
        before_K: Ints = np.maximum(from_ms, np.minimum(at_K, self.next_ms_M[viewers_K] - 1)).astype(np.int64)
        return before_K

    def _gap_ms(self, viewers_K: Ints) -> Floats:
        """Draws the time until a viewer comes again, such that `online_share` of all are in a room on average."""
        config = self._people.config
        session_s = config.visit_s / (1 - config.hop_share)
        mean_s = session_s * (1 - config.online_share) / config.online_share / self._people.activity_M[viewers_K]
        gap_ms_K: Floats = 1000 * mean_s * self._rng.exponential(1.0, len(viewers_K))
        return gap_ms_K

    def encode(
        self,
        action: bytes,
        viewers: Ints,
        streamers: Ints,
        at_ms: Ints,
        broadcasts: Broadcasts,
        *,
        seconds: Floats | None = None,
    ) -> list[Event]:
        """Serialises events by text formatting, in a tenth of the codec's time; a test compares the two."""
        names, rooms, hosts = self.viewer_M, broadcasts.room_S, self._streamer_S
        head, tail = (
            b'{"type":"viewer","viewer":"%b","room":"%b","streamer":"%b","action":"' + action + b'","at_ms":%d',
            b"}",
        )
        if seconds is None:
            return [
                Event(VIEWER_EVENTS, names[v], (head + tail) % (names[v], rooms[s], hosts[s], at), at)
                for v, s, at in zip(viewers.tolist(), streamers.tolist(), at_ms.tolist(), strict=True)
            ]
        tail = b',"seconds":%.3f}'
        return [
            Event(VIEWER_EVENTS, names[v], (head + tail) % (names[v], rooms[s], hosts[s], at, watched), at)
            for v, s, at, watched in zip(
                viewers.tolist(), streamers.tolist(), at_ms.tolist(), seconds.tolist(), strict=True
            )
        ]
