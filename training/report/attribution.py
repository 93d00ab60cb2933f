"""The attribution of visits and follows to impressions, in one pass over the event stream. Never computes a figure.

An event that names its answer (`request_id`) belongs to that answer's room. One that names none belongs to the newest
answer before it that showed the room to the viewer, at most `window_s` earlier by event time: that is the window
within which training counts a room as passed over (`ExamplesConfig.shown_within_s`). Impressions reach the log a
second after their answer, and events may be late, so an event waits until LATE_MS of append time have passed.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

import numpy as np

from streaming.events import MAX_AHEAD_MS, Impression, RoomId, ViewerErased, ViewerEvent, ViewerId
from streaming.room.activity import ActivityBook
from streaming.viewer.profile import ProfileAggregate
from streaming.viewer.profile_config import ProfileConfig
from streaming.viewer.rules import RULE_ACTIONS
from training.examples.event_stream import StreamRecord
from training.examples.outcomes import OutcomeTracker
from training.report.shown_rooms import ShownRooms, ShownRoomsBuilder

LATE_MS = 60_000  # by which an impression may come after the event that it led to
SWEEP = 10_000  # records between two looks for viewers who are silent
FORGET_MS = 2 * 3_600_000  # of silence: longer than a visit lasts without a sign of life


@dataclass(slots=True)
class JoinCounts:
    """How many visits and follows were joined to an impression, how, and why others were not."""

    by_request_id: int = 0
    by_viewer_and_room: int = 0
    no_impression: int = 0  # nothing that was noted had shown the room to the viewer within the window
    unknown_request_id: int = 0  # of an answer that was not noted, is not in what was read, or went to another viewer
    other_room: int = 0  # the answer did not have the room
    too_late: int = 0  # after the window, or over a minute before its answer
    other_position: int = 0  # of those joined by request_id: the event says another position than the answer had


@dataclass(slots=True)
class Joined:
    """The rooms shown, and how events were joined to them.

    repeated: impressions whose viewer and request_id came before. unsettled: answers within the window of the end of
    what was read, whose events may still come.
    """

    shown: ShownRooms
    visits: JoinCounts
    follows: JoinCounts
    events: int
    repeated: int
    unsettled: int
    from_ms: int
    until_ms: int


@dataclass(slots=True, eq=False)
class _Answer:
    request_id: str
    at_ms: int
    first_row: int
    rooms: tuple[RoomId, ...]
    first_position: int

    def row(self, room: str) -> int | None:
        """The row of a room, None where it was not shown."""
        try:
            return self.first_row + self.rooms.index(RoomId(room))
        except ValueError:
            return None


@dataclass(slots=True, eq=False)
class _Viewer:
    aggregate: ProfileAggregate
    answers: deque[_Answer] = field(default_factory=deque)  # of the window, the newest last
    row: int | None = None  # that the current visit is joined to
    room: str = ""  # of the current visit
    seen_ms: int = 0  # append time


class Attribution:
    """Joins events to impressions. Memory: of the viewers of the last hours, and some 30 bytes a room shown."""

    def __init__(self, window_s: int, profile: ProfileConfig | None = None, until_ms: int | None = None) -> None:
        """window_s: as above. profile: the workers' settings, so that visits are theirs. until_ms: of impressions."""
        self._window_ms = 1_000 * window_s
        self._until_ms = until_ms
        self._profile = profile or ProfileConfig()
        self._rows = ShownRoomsBuilder()
        self._stays = OutcomeTracker(1_000 * self._profile.visit_gap_s, known_by_act=False)
        self._book = ActivityBook()
        self._viewers: OrderedDict[str, _Viewer] = OrderedDict()  # the longest silent first
        self._waiting: deque[tuple[int, ViewerEvent]] = deque()
        self._ends: deque[int] = deque()  # answers' times within the window of the newest record
        self._visits, self._follows = JoinCounts(), JoinCounts()
        self._events = self._repeated = self._applied = 0
        self._from_ms = self._now_ms = 0

    def apply(self, record: StreamRecord) -> None:
        """Applies a record of the stream."""
        self._now_ms = record.at_ms
        self._from_ms = self._from_ms or record.at_ms
        while self._waiting and self._waiting[0][0] + LATE_MS <= record.at_ms:
            self._follow_event(*self._waiting.popleft())
        found = record.record
        if isinstance(found, Impression):
            if self._until_ms is None or found.at_ms < self._until_ms:
                self._show(found)
        elif isinstance(found, ViewerErased):
            self._erase(found.viewer)
        elif isinstance(found, ViewerEvent) and found.action not in RULE_ACTIONS:
            self._waiting.append((record.at_ms, found))
        self._applied += 1
        if self._applied % SWEEP == 0:
            self._sweep()

    def joined(self) -> Joined:
        """The result, once all was applied."""
        while self._waiting:
            self._follow_event(*self._waiting.popleft())
        outcomes = self._stays.outcomes()
        stay_s_W = np.where(np.isnan(outcomes.stay_s_V), outcomes.heard_s_V, outcomes.stay_s_V).astype(np.float64)
        unsettled = sum(1 for at_ms in self._ends if at_ms > self._now_ms - self._window_ms)
        return Joined(
            shown=self._rows.built(stay_s_W),
            visits=self._visits,
            follows=self._follows,
            events=self._events,
            repeated=self._repeated,
            unsettled=unsettled,
            from_ms=self._from_ms,
            until_ms=self._now_ms,
        )

    def _show(self, impression: Impression) -> None:
        viewer = self._viewer(impression.viewer)
        if any(one.request_id == impression.request_id for one in viewer.answers):
            self._repeated += 1  # a gateway asked again, or the log has it twice
            return
        answer = _Answer(
            impression.request_id,
            impression.at_ms,
            self._rows.add(impression),
            impression.rooms,
            impression.first_position,
        )
        viewer.answers.append(answer)
        while viewer.answers[0].at_ms < impression.at_ms - self._window_ms - 2 * LATE_MS:
            viewer.answers.popleft()
        self._ends.append(impression.at_ms)
        while self._ends[0] < self._now_ms - self._window_ms:
            self._ends.popleft()

    def _follow_event(self, appended_ms: int, event: ViewerEvent) -> None:
        self._events += 1
        viewer = self._viewer(event.viewer)
        aggregate, visits = viewer.aggregate, viewer.aggregate.total_visits
        outcome = aggregate.apply(event, appended_ms, self._book)
        if len(self._book) > SWEEP:
            self._book.drain()
        if aggregate.total_visits > visits and aggregate.room == event.room:
            row = self._row(viewer, event, self._visits)
            viewer.row, viewer.room = row, event.room
            if row is not None:
                self._rows.enter(row)
            self._stays.begin(event, None if row is None else self._rows.visited(row))
            return
        self._stays.follow(event)
        if event.action == "follow" and outcome.name != "DUPLICATE":
            self._note_follow(viewer, event)

    def _note_follow(self, viewer: _Viewer, event: ViewerEvent) -> None:
        """Joins a follow: as it says itself, else as the visit in which it happens, else by viewer and room."""
        if not event.request_id and viewer.room == event.room and viewer.row is not None:
            self._follows.by_viewer_and_room += 1
            self._rows.follow(viewer.row)
            return
        row = self._row(viewer, event, self._follows)
        if row is not None:
            self._rows.follow(row)

    def _row(self, viewer: _Viewer, event: ViewerEvent, counts: JoinCounts) -> int | None:
        """The row that an event belongs to."""
        if event.request_id:
            return self._named_row(viewer, event, counts)
        for answer in reversed(viewer.answers):
            if 0 <= event.at_ms - answer.at_ms <= self._window_ms and (row := answer.row(event.room)) is not None:
                counts.by_viewer_and_room += 1
                return row
        counts.no_impression += 1
        return None

    def _named_row(self, viewer: _Viewer, event: ViewerEvent, counts: JoinCounts) -> int | None:
        """The row of an event that names its answer."""
        answer = next((one for one in viewer.answers if one.request_id == event.request_id), None)
        if answer is None:
            counts.unknown_request_id += 1
            return None
        row = answer.row(event.room)
        if row is None:
            counts.other_room += 1
            return None
        if not -MAX_AHEAD_MS <= event.at_ms - answer.at_ms <= self._window_ms:
            counts.too_late += 1
            return None
        counts.by_request_id += 1
        if event.position and event.position != answer.first_position + row - answer.first_row:
            counts.other_position += 1
        return row

    def _erase(self, viewer: str) -> None:
        self._rows.erase(viewer)
        self._viewers.pop(viewer, None)
        self._waiting = deque(one for one in self._waiting if one[1].viewer != viewer)

    def _viewer(self, name: str) -> _Viewer:
        viewer = self._viewers.get(name)
        if viewer is None:
            viewer = self._viewers[name] = _Viewer(ProfileAggregate(ViewerId(name), self._profile))
        else:
            self._viewers.move_to_end(name)
        viewer.seen_ms = self._now_ms
        return viewer

    def _sweep(self) -> None:
        """Forgets viewers who were silent for so long that nothing of them can be joined."""
        silent_ms = max(FORGET_MS, self._window_ms + 2 * LATE_MS)
        while self._viewers:
            name, viewer = next(iter(self._viewers.items()))
            if viewer.seen_ms > self._now_ms - silent_ms:
                return
            del self._viewers[name]
