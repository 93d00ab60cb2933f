"""A pass over the event stream that makes an example of each visit, from the state just before it. Never looks ahead.

It aggregates viewers and rooms as the workers do, fills the columns that replicas fill, and computes the features that
they compute.
"""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import groupby

import msgspec
import numpy as np
from numpy.typing import NDArray

from streaming.errors import RecordError
from streaming.event_clock import RECORDED_EVENTS, EventClock
from streaming.events import Impression, RoomEnded, StreamerId, ViewerErased, ViewerEvent, ViewerId, ViewerProfile
from streaming.log.codec import Decoder
from streaming.log.topics import CHAT, IMPRESSIONS, ROOMS, VIEWER_EVENTS, VIEWER_PROFILES
from streaming.room.activity import ActivityBook
from streaming.room.window_config import WindowConfig
from streaming.viewer.presence import LATE_MS, Deadlines, presence_of
from streaming.viewer.profile import ProfileAggregate
from streaming.viewer.profile_config import ProfileConfig
from streaming.viewer.rules import RULE_ACTIONS
from training.examples.event_stream import StreamRecord
from training.examples.outcomes import Outcomes, OutcomeTracker
from training.examples.room_states import NOTHING, UNBORN, Liveness, RoomStateColumns
from training.examples.schema import CoVisit, Example, ExamplesConfig, PassProgress
from training.examples.snapshot import ArchiveSnapshot
from training.features.features import room_features, served
from training.features.viewer_columns import ProfileReader
from training.features.visit_kinds import LIVE_MS, VisitKind
from training.features.visit_sequence import PastVisits, past_visits

REPORT_EVERY = 5_000  # records
ROOM_TIMEOUT_S = 900  # where nobody says otherwise
NO_ENTRY = frozenset(("leave", "like", "follow")) | RULE_ACTIONS  # what begins no visit
COVISITS = 5  # newest visits of a viewer that make a pair with the one that begins


class _Viewer:
    """The state of one viewer. entered: by room and time of a visit, the room's number, segment and title then."""

    __slots__ = ("aggregate", "entered", "shown", "shown_ms")

    def __init__(self, aggregate: ProfileAggregate) -> None:
        self.aggregate = aggregate
        self.entered: dict[tuple[str, int], tuple[int, int, int]] = {}
        self.shown: tuple[str, ...] = ()
        self.shown_ms = 0


class ExamplePass:
    """One pass over the event stream. `examples` may be called once; the rest is complete when it has ended."""

    def __init__(
        self,
        config: ExamplesConfig,
        *,
        chat_alone: bool,
        chat_texts: bool = True,
        chosen: Container[int] | None = None,
        parted_at: int | None = None,
        window: WindowConfig | None = None,
        profile: ProfileConfig | None = None,
        room_timeout_s: int = ROOM_TIMEOUT_S,
    ) -> None:
        """chat_alone: visits and rooms are derived from chat, as in recordings of chat.

        chat_texts: whether the texts of chat are wanted; only a pass over chat alone can go without. chosen: offsets of
        the viewer events whose visits become examples; None: all that the configuration takes. parted_at: the offset
        from which on nothing is added to the outcomes of visits before it, if any; only a stream with one row of
        offsets has such. room_timeout_s: the RoomWorkers' setting; with 0 only an `end` event ends a room.
        """
        self._config = config
        self._profile = profile or ProfileConfig()
        liveness = Liveness(LIVE_MS if chat_alone else None, 1_000 * room_timeout_s)
        self.rooms = RoomStateColumns(window or WindowConfig(), liveness, config.max_held, chat_texts=chat_texts)
        self._chat_alone, self._chosen, self._parted_at = chat_alone, chosen, parted_at
        self._viewers: dict[str, _Viewer] = {}
        self._profiles: Mapping[bytes, bytes] = {}
        self._decode = Decoder(VIEWER_PROFILES)
        self._book = ActivityBook()
        self._deadlines: Deadlines[str] = Deadlines()  # whoever is in a room
        self._clock = EventClock(RECORDED_EVENTS)
        self._outcomes = OutcomeTracker(1_000 * self._profile.visit_gap_s, known_by_act=chat_alone)
        self._random = np.random.default_rng(config.seed)
        self._head_ms = 0  # newest event time of a visit
        self.covisits: list[CoVisit] = []
        self.offsets = array("q")  # of the events that began the examples
        self.num_records = self.num_examples = self.num_visits = self.num_late = 0

    def restore(self, past: ArchiveSnapshot) -> None:
        """Starts from the state that was served when the pass begins. Call it before `examples`."""
        self._profiles = past.profiles
        for value in past.profiles.values():
            with contextlib.suppress(msgspec.DecodeError):  # as below
                presence = presence_of(value)
                self._clock.note(presence.last_at_ms, presence.appended_ms)
                if presence.heard_ms is not None:
                    self._deadlines.put(presence.viewer, presence.heard_ms + 1_000 * self._profile.presence_timeout_s)
        self.rooms.restore(past.states)

    def outcomes(self) -> Outcomes:
        """The outcomes of the examples so far, in their order."""
        return self._outcomes.outcomes()

    def examples(self, stream: Iterable[StreamRecord], progress: PassProgress) -> Iterator[Example]:
        """Examples in the order of the log. Each uses only records appended in earlier milliseconds.

        progress: called every REPORT_EVERY records, and at the end. Raises what the stream raises, and TrainingError.
        """
        for at_ms, group in groupby(stream, _at_ms):
            together = list(group)
            if self._parted_at is not None and together[-1].offset >= self._parted_at:
                self._outcomes.part()
                self._parted_at = None
            self._lapse(at_ms)
            if at_ms >= self.rooms.sweep_due_ms:
                self._count_activity(at_ms)
                self.rooms.sweep(at_ms)
            drafts: dict[tuple[str, str], Example | None] = {}
            for found in together:
                if found.topic != VIEWER_EVENTS or (self._chosen is not None and found.offset not in self._chosen):
                    continue
                event = found.record
                if isinstance(event, ViewerErased):
                    continue
                if (event.viewer, event.room) not in drafts and self._may_enter(event):
                    drafts[event.viewer, event.room] = self._draft(event, at_ms)
            for found in together:
                example = self._apply(found, drafts)
                if example is not None:
                    self.num_examples += 1
                    self.offsets.append(found.offset)
                    yield example
            if not self._chat_alone:
                self._count_activity(at_ms)
            before, self.num_records = self.num_records, self.num_records + len(together)
            if self.num_records // REPORT_EVERY != before // REPORT_EVERY:
                progress.passed(self.num_records, self.num_examples, at_ms)
        progress.passed(self.num_records, self.num_examples, self._head_ms)

    # the event stream

    def _lapse(self, at_ms: int) -> None:
        """Makes viewers leave who were silent for too long, as the ProfileWorker does."""
        now_ms = self._clock.now_ms(at_ms)
        for name in self._deadlines.take(now_ms):
            viewer = self._known(name)
            until_ms = None if viewer is None else viewer.aggregate.present_until_ms
            if viewer is None or until_ms is None:
                continue
            if until_ms + LATE_MS > now_ms:
                self._deadlines.put(name, until_ms)
            elif not viewer.aggregate.lapse(now_ms, self._book):
                self._expect(name, viewer.aggregate)
        if not self._chat_alone:
            self._count_activity(at_ms)

    def _count_activity(self, at_ms: int) -> None:
        """Gives rooms what viewers did since the last call.

        Where rooms live by chat alone it is enough to call it before anybody looks: only the sums count then.
        """
        if len(self._book):
            self.rooms.apply_activity(self._book.drain(), at_ms)

    def _expect(self, name: str, aggregate: ProfileAggregate) -> None:
        until_ms = aggregate.present_until_ms
        if until_ms is not None:
            self._deadlines.put(name, until_ms)

    def _apply(self, found: StreamRecord, drafts: dict[tuple[str, str], Example | None]) -> Example | None:
        """Applies a record; returns the example of the visit that it begins, if any."""
        at_ms, topic, offset, record = found
        if topic == CHAT:
            self.rooms.apply_chat(record, offset, at_ms)
        elif topic == ROOMS:
            self.rooms.apply_lifecycle(record, offset, at_ms)
            if isinstance(record, RoomEnded):
                self._outcomes.end_room(record.room, record.at_ms)
        elif topic == IMPRESSIONS:
            self._show(record)
        elif isinstance(record, ViewerErased):
            self._erase(record, at_ms)
        else:
            return self._follow(record, at_ms, drafts)
        return None

    def _erase(self, erased: ViewerErased, at_ms: int) -> None:
        """Forgets a viewer, as the ProfileWorker does."""
        viewer = self._viewer(erased.viewer)
        viewer.aggregate.erase(erased.at_ms, at_ms, self._book)
        viewer.entered.clear()
        viewer.shown, viewer.shown_ms = (), 0

    def _show(self, impression: Impression) -> None:
        if impression.steered:  # it says what was asked for, and less of what the viewer passed over
            return
        viewer = self._viewer(impression.viewer)
        viewer.shown, viewer.shown_ms = impression.rooms, impression.at_ms

    def _follow(self, event: ViewerEvent, at_ms: int, drafts: dict[tuple[str, str], Example | None]) -> Example | None:
        viewer = self._viewers.get(event.viewer) or self._viewer(event.viewer)
        aggregate = viewer.aggregate
        visits = aggregate.total_visits
        aggregate.apply(event, at_ms, self._book)
        self._clock.note(event.at_ms, at_ms)
        if event.action in RULE_ACTIONS:  # no sign of the viewer in a room
            return None
        self._expect(event.viewer, aggregate)
        if aggregate.total_visits == visits:
            self._outcomes.follow(event)
            return None
        if aggregate.room != event.room:  # a late event, about an earlier visit
            return None
        self.num_visits += 1
        example = drafts.pop((event.viewer, event.room), None)
        self._outcomes.begin(event, None if example is None else self.num_examples)
        self._remember(viewer, event)
        self._head_ms = max(self._head_ms, event.at_ms)
        return example

    def _remember(self, viewer: _Viewer, event: ViewerEvent) -> None:
        slot, number = self.rooms.slot(event.room), self.rooms.number(event.room, event.streamer)
        streamers = self.rooms.streamers
        for (_, entered_ms), (before, _, _) in list(viewer.entered.items())[-COVISITS:]:
            gap_s = (event.at_ms - entered_ms) / 1e3
            if 0 <= gap_s < self._config.covisit_s and streamers[before] != event.streamer:
                self.covisits.append(CoVisit(event.at_ms, before, number, gap_s))
        if len(viewer.entered) > 2 * self._config.max_visits:
            for key in list(viewer.entered)[: -self._config.max_visits]:
                del viewer.entered[key]
        entered = number, int(self.rooms.segment_N[slot]), int(self.rooms.title_N[slot])
        viewer.entered[event.room, event.at_ms] = entered

    def _viewer(self, name: str) -> _Viewer:
        viewer = self._known(name)
        if viewer is None:
            viewer = self._viewers[name] = _Viewer(ProfileAggregate(ViewerId(name), self._profile))
        return viewer

    def _known(self, name: str) -> _Viewer | None:
        """The viewer's state, None for a cold-start viewer."""
        viewer = self._viewers.get(name)
        if viewer is not None or not self._profiles:
            return viewer
        value = self._profiles.get(name.encode())
        if value is None:
            return None
        viewer = self._viewers[name] = _Viewer(ProfileAggregate(ViewerId(name), self._profile))
        with contextlib.suppress(RecordError):  # only a newer build can have written it: the viewer starts anew
            viewer.aggregate.restore(self._decode(value))
        return viewer

    # the state before a visit

    def _may_enter(self, event: ViewerEvent) -> bool:
        viewer = self._known(event.viewer)
        if event.action in NO_ENTRY or (
            event.action != "enter" and viewer is not None and viewer.aggregate.room == event.room
        ):
            return False
        return event.at_ms >= self._config.since_ms

    def _draft(self, event: ViewerEvent, at_ms: int) -> Example | None:
        if event.at_ms < self._config.since_ms:
            return None
        if self._config.share < 1 and self._random.random() >= self._config.share:
            return None
        now_ms, rooms = event.at_ms, self.rooms
        if now_ms < self._head_ms - 1_000 * self._config.late_s:
            self.num_late += 1
            return None
        self._count_activity(at_ms)
        viewer = self._known(event.viewer)
        profile = None if viewer is None else viewer.aggregate.profile()
        slots_N, slot = rooms.slots(now_ms), rooms.slot(event.room)
        place = int(np.searchsorted(slots_N, slot))
        outside = place == len(slots_N) or slots_N[place] != slot
        if outside:
            slots_N = np.insert(slots_N, place, slot)
            if slot == UNBORN:
                rooms.live.begin(UNBORN, now_ms)
        number_N = rooms.number_N[slots_N]
        number_N[place] = rooms.number(event.room, event.streamer)
        shown_N = self._shown(viewer, number_N, place, now_ms)
        features_NF = self._features(profile, slots_N, number_N, now_ms)
        log_q_N = np.zeros(len(slots_N), np.float32)
        if len(slots_N) > self._config.max_rooms:
            chosen_C, log_q_N = self._choose(place, shown_N)
            place = int(np.searchsorted(chosen_C, place))
            slots_N, number_N = slots_N[chosen_C], number_N[chosen_C]
            shown_N, features_NF = shown_N[chosen_C], features_NF[chosen_C]
        past = past_visits(profile, now_ms, self._config.max_visits) if profile is not None else None
        return Example(
            at_ms=now_ms,
            viewer=event.viewer,
            kind=_kind(profile, event.streamer),
            entered=place,
            outside=outside,
            room_N=number_N,
            segment_N=rooms.segment_N[slots_N],
            title_N=rooms.title_N[slots_N],
            shown_N=shown_N,
            log_q_N=log_q_N,
            features_NF=features_NF,
            past=past,
            past_text_T3=_texts(viewer, past),
        )

    def _features(
        self, profile: ViewerProfile | None, slots_N: NDArray[np.int64], number_N: NDArray[np.int32], now_ms: int
    ) -> NDArray[np.float32]:
        live, streamers = self.rooms.live, self.rooms.streamers
        past = ProfileReader(profile)
        own = past.viewer_room(past.rows([StreamerId(streamers[number]) for number in number_N.tolist()]), now_ms)
        viewer = past.viewer(int(np.count_nonzero(own.visits_N)), now_ms)
        arrivals = live.arrivals(slots_N, past.origin, now_ms)
        return served(room_features(live.rooms(slots_N, now_ms)), own, arrivals, viewer, now_ms)

    def _shown(
        self, viewer: _Viewer | None, number_N: NDArray[np.int32], entered: int, now_ms: int
    ) -> NDArray[np.bool_]:
        """Whether each room was shown to the viewer lately and is not entered now, bool [N]."""
        if viewer is None or not viewer.shown or now_ms - viewer.shown_ms > 1_000 * self._config.shown_within_s:
            return np.zeros(len(number_N), np.bool_)
        numbers = [self.rooms.numbers.get(room, NOTHING) for room in viewer.shown]
        shown_N = np.isin(number_N, numbers)
        shown_N[entered] = False
        return shown_N

    def _choose(self, entered: int, shown_N: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """A sample of at most max_rooms candidates: their places, ascending, and the logs of their probabilities."""
        N, most = len(shown_N), self._config.max_rooms
        always_N = shown_N.copy()
        always_N[entered] = True
        others = np.flatnonzero(~always_N)
        room = max(most - int(always_N.sum()), 1)
        always_N[self._random.choice(others, room, replace=False)] = True
        log_q_N = np.full(N, np.log(room / len(others)), np.float32)
        log_q_N[shown_N] = log_q_N[entered] = 0.0
        chosen_C = np.flatnonzero(always_N)
        return chosen_C, log_q_N[chosen_C]


def _at_ms(found: StreamRecord) -> int:
    return found.at_ms


def _kind(profile: ViewerProfile | None, streamer: str) -> VisitKind:
    if profile is None or not profile.total_visits:
        return VisitKind.COLD
    visited = any(habit.streamer == streamer and habit.visits for habit in profile.habits)
    return VisitKind.REPEAT if visited else VisitKind.NEW


def _texts(viewer: _Viewer | None, past: PastVisits | None) -> NDArray[np.int32]:
    if viewer is None or past is None or not past.visits:
        return np.zeros((0, 3), np.int32)
    unknown = (NOTHING, NOTHING, NOTHING)
    found = [viewer.entered.get((visit.room, visit.entered_at_ms), unknown) for visit in past.visits]
    return np.array(found, np.int32)
