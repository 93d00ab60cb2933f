"""The baseline ranker for recorded visits: scores as a replica without a model would. Never learns, never measures.

Score, interest profiles, pools and tables are the replica's own (actors/), and profiles are a ProfileWorker's. Only the
rooms' states are made from counts of the recording. They change at most once a second, as they do on the log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actors.index.live_index import LiveIndex
from actors.recommend.baseline_score import Affinity, Company, Score
from actors.recommend.candidates import Candidates, Visited
from actors.recommend.global_lists import GlobalLists
from actors.recommend.viewer_taste import InterestProfile, interest_profile
from actors.settings import IndexConfig, RecommendConfig, TablesConfig
from actors.state.room_table import RoomTable
from streaming.events import RoomId, RoomState, StreamerId, ViewerEvent, ViewerId, ViewerProfile
from streaming.recorded.replay import Channel
from streaming.viewer.presence import Deadlines
from streaming.viewer.profile import ProfileAggregate
from streaming.viewer.profile_config import ProfileConfig
from training.features.visit_kinds import SILENCE_MS, VisitKind
from training.recorded.content_timeline import ContentTimeline
from training.recorded.replay_state import Moment
from training.recorded.room_states import RecordedStates

RENEW_MS = 1_000  # a room's statistics are published at most so often
AGGREGATE_MS = 60_000  # without a visit to score, counts are aggregated so often
TOMBSTONE_MS = 3_600_000  # an ended room is forgotten after this


@dataclass(frozen=True, slots=True)
class VersionZeroConfig:
    """The settings of a replica that the baseline ranker needs."""

    recommend: RecommendConfig = field(default_factory=RecommendConfig)
    tables: TablesConfig = field(default_factory=TablesConfig)
    profile: ProfileConfig = field(default_factory=ProfileConfig)


class VersionZero:
    """The baseline ranker, which follows the chat.

    A room that is live only because it is being entered is scored like one that has just begun: by the viewer's habit.

    rooms: the tables, as of the last moment that was scored.
    """

    name = "version 0"

    def __init__(
        self,
        channels: Sequence[str],
        known: Mapping[str, Channel],
        *,
        content: ContentTimeline | None = None,
        config: VersionZeroConfig | None = None,
    ) -> None:
        """known: titles, categories and languages by channel. Without content no room is like another."""
        config = config or VersionZeroConfig()
        self._channels, self._config = channels, config
        self._number = {StreamerId(channel): number for number, channel in enumerate(channels)}
        self._states = RecordedStates(channels, known, content)
        index = LiveIndex(IndexConfig(max_rooms=2 * len(channels)))
        self.rooms = RoomTable(index, config.tables, index.config.max_rooms)
        half_life_ms = int(1_000 * config.recommend.fresh_half_life_s)
        self._global_lists = GlobalLists(
            index.config.max_rooms, config.recommend.pool, half_life_ms, config.recommend.weights
        )
        self._candidates = Candidates(self.rooms, self._global_lists, config.recommend.nearest)
        self._score = Score(self.rooms, self._global_lists, config.recommend.weights)
        self._profiles: dict[int, ProfileAggregate] = {}
        self._deadlines: Deadlines[int] = Deadlines()  # viewers who are in a room
        self._shown: dict[int, RoomId] = {}  # channel → room in the tables
        self._slot_C = np.full(len(channels), -1, np.int64)  # slot by channel, −1 where it has no room
        self._ended: deque[tuple[int, RoomId]] = deque()  # time of the end, and room
        self._renewed_ms = self._aggregated_ms = 0

    def learn(self, past: Sequence[Moment]) -> None:
        """Does nothing: the baseline ranker does not learn."""

    def apply(self, at_us: int, viewer: int, channel: int, kind: int) -> None:
        """Applies one message, in time order; a visit enters the room first."""
        at_ms, states = at_us // 1_000, self._states
        room, streamer, name = states.room(channel, at_ms), self._channels[channel], str(viewer)
        profile = self._profiles.get(viewer)
        if profile is None:
            profile = self._profiles[viewer] = ProfileAggregate(ViewerId(name), self._config.profile)
        if kind != VisitKind.NO_VISIT:
            entered = ViewerEvent(viewer=name, room=room, streamer=streamer, action="enter", at_ms=at_ms)
            profile.apply(entered, at_ms, states.book)
        said = ViewerEvent(viewer=name, room=room, streamer=streamer, action="chat", at_ms=at_ms)
        profile.apply(said, at_ms, states.book)
        states.said(channel, viewer, at_ms)
        self._expect(viewer, profile)
        if at_ms - self._aggregated_ms >= AGGREGATE_MS:
            self._aggregated_ms = at_ms
            self._lapse(at_ms)
            states.aggregate()

    def _lapse(self, at_ms: int) -> None:
        """Makes viewers leave who were silent for too long, as the ProfileWorker does."""
        for viewer in self._deadlines.take(at_ms):
            profile = self._profiles[viewer]
            if not profile.lapse(at_ms, self._states.book):
                self._expect(viewer, profile)

    def _expect(self, viewer: int, profile: ProfileAggregate) -> None:
        if profile.present_until_ms is not None:
            self._deadlines.put(viewer, profile.present_until_ms)

    def score(self, moment: Moment) -> NDArray[np.float64]:
        """The baseline ranker's score of each candidate, float64 [N]."""
        at_ms, live_N = moment.at_us // 1_000, moment.live_N
        self._renew(moment.at_us, live_N)
        slots_N = self._slot_C[live_N]
        shown_N = slots_N >= 0
        profile = self.profile(moment.viewer)
        if profile is None:
            return self._of_stranger(slots_N, shown_N)
        interests = interest_profile(profile, self.rooms, at_ms, self._config.recommend.broad_category, reasons=False)
        score_N = self._of_habits(live_N, interests)
        score_N[shown_N] = self._of(slots_N[shown_N], profile, interests, at_ms)
        return score_N

    def profile(self, viewer: int) -> ViewerProfile | None:
        """A viewer's profile, None for a cold-start viewer."""
        aggregate = self._profiles.get(viewer)
        return None if aggregate is None else aggregate.profile()

    def _of_stranger(self, slots_N: NDArray[np.int64], shown_N: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Scores for a cold-start viewer, float64 [N]; 0 for a room that is not in the tables."""
        score_N, slots_K = np.zeros(len(slots_N)), slots_N[shown_N]
        score_N[shown_N] = self._score.of(slots_K, np.arange(len(slots_K)), None, None, Visited(), company=Company())[1]
        return score_N

    def _of_habits(self, live_N: NDArray[np.intp], interests: InterestProfile) -> NDArray[np.float64]:
        """Scores by habit, float64 [N]: the only term of a room of which no more than the streamer is known."""
        weight, strength = self._config.recommend.weights.visited, dict(interests.habits)
        streamers = [StreamerId(self._channels[channel]) for channel in live_N.tolist()]
        return weight * np.array([strength.get(streamer, 0.0) for streamer in streamers])

    def _of(
        self, slots_K: NDArray[np.int64], profile: ViewerProfile, interests: InterestProfile, at_ms: int
    ) -> NDArray[np.float32]:
        """Scores of rooms in the tables, float32 [K]. The viewer's room comes last: a replica does not return it."""
        rooms = self.rooms
        affinity, visited = (
            Affinity(interests, rooms, self._config.recommend.weights),
            self._candidates.visited(interests),
        )
        alike_N = self._candidates.alike(interests.query_E, rooms.index)
        both_N = np.concatenate([slots_K, visited.slots_V])  # the last of repeated slots has the whole score
        score_N = np.zeros(len(rooms.live_N), np.float32)
        company = self._score.company(interests, at_ms)
        score_N[both_N] = self._score.of(both_N, np.arange(len(both_N)), affinity, alike_N, visited, company=company)[1]
        here = rooms.snapshots.get(profile.room) if profile.room is not None else None
        if here is not None and at_ms - profile.last_at_ms < SILENCE_MS:
            score_N[here.slot] = -0.5
        return score_N[slots_K]

    def _renew(self, at_us: int, live_N: NDArray[np.intp]) -> None:
        """Brings the tables up to date, at most once a second, or where a room has begun."""
        at_ms, states = at_us // 1_000, self._states
        missing = live_N[self._slot_C[live_N] < 0].tolist()
        if at_ms - self._renewed_ms < RENEW_MS and not any(states.is_live(channel, at_ms) for channel in missing):
            return
        self._renewed_ms = at_ms
        for channel, room in list(self._shown.items()):
            if not states.is_live(channel, at_ms) or states.current(channel) != room:
                self._end(channel, at_ms)
        self._lapse(at_ms)
        self._show(states.take_changed(at_us), at_ms)
        while self._ended and self._ended[0][0] < at_ms - TOMBSTONE_MS:
            _, room = self._ended.popleft()
            if room in self.rooms.ended:
                self.rooms.drop(room)
        self._global_lists.renew(self.rooms, at_ms)

    def _show(self, states: Sequence[RoomState], at_ms: int) -> None:
        if states:
            self.rooms.show(states, at_ms)
        for state in states:
            channel = self._number[state.streamer]
            self._shown[channel] = state.room
            self._slot_C[channel] = self.rooms.snapshots[state.room].slot

    def _end(self, channel: int, at_ms: int) -> None:
        room = self._shown.pop(channel)
        self._slot_C[channel] = -1
        self.rooms.end(self.rooms.snapshots[room].state)
        self._ended.append((at_ms, room))
