"""Aggregate of one viewer's events to a profile, and their effect on rooms' activity. Never does I/O.

A viewer is in one room at a time; entering another leaves the first, and so does silence for `presence_timeout_s`. A
watch, chat or gift event without an enter opens a visit too, because producers lose enters. A like or follow does not:
it can be done from a list as well. An event older than the open visit is counted where it belongs and moves nobody.
What a viewer demands (`rules.py`) is kept, and changes nothing else.
"""

from __future__ import annotations

from array import array
from bisect import insort
from sys import intern
from typing import Final, get_args
from zlib import crc32

import msgspec
from msgspec import structs

from streaming.events import (
    MAX_AHEAD_MS,
    SCHEMA_VERSION,
    Action,
    Outcome,
    RoomId,
    StreamerHabit,
    StreamerId,
    ViewerEvent,
    ViewerId,
    ViewerProfile,
    Visit,
)
from streaming.room.activity import RECENT_MS, ActivityBook, RoomSums
from streaming.viewer.profile_config import ProfileConfig
from streaming.viewer.rules import RULE_ACTIONS, RuleBook

_APPLIED: Final = Outcome.APPLIED  # looked up once: the outcome of nearly every event
_PACKER: Final = msgspec.msgpack.Encoder()
_LOW_32: Final = 0xFFFFFFFF
_IS_SO_ONCE: Final = frozenset(("enter", "leave", "follow"))  # a repetition of the same moment is a duplicate
_ACTION_SEEDS: Final = {action: crc32(action.encode()) for action in get_args(Action)}
_OPENING: Final = frozenset(("watch", "chat", "gift"))  # actions that are possible only in a room, besides entering
ERASURE_KEPT_MS = 7 * 86_400_000  # as long as viewer-events keeps events, which a producer may also have kept back
NEVER_MS = -(1 << 62)  # before any event: a recording may count its times from 0
TRAILING_MS = 60_000  # players flush their last `watch` after the `leave`; this late it still belongs to the visit


class OpenVisit(msgspec.Struct, array_like=True, eq=False):
    """A mutable Visit, with the same fields in the same order."""

    room: str
    streamer: str
    entered_at_ms: int
    last_at_ms: int
    watch_ms: int = 0
    chats: int = 0
    likes: int = 0
    gifts: int = 0


class OpenHabit(msgspec.Struct, array_like=True, eq=False):
    """A mutable StreamerHabit, with the same fields in the same order."""

    streamer: str
    visits: int = 0
    watch_ms: int = 0
    last_at_ms: int = 0
    followed: bool = False
    chats: int = 0
    first_entered_at_ms: int = 0
    entered_at_ms: int = 0


class ProfileAggregate:
    """Aggregate of one viewer. Call `apply` for every event once, in log order, and `profile` at any time.

    Names of rooms and streamers are interned: many viewers share each, and shared ones stay in the processor's cache.
    """

    __slots__ = (
        "_appended_ms", "_config", "_erased_ms", "_first_at_ms", "_habits", "_last_at_ms", "_max_recent", "_open",
        "_open_habit", "_recent", "_repeats", "_rules", "_silence_ms", "_total_events", "_total_visits", "_visits",
        "viewer",
    )  # fmt: skip

    def __init__(self, viewer: ViewerId, config: ProfileConfig) -> None:
        self.viewer = viewer
        self._erased_ms = NEVER_MS  # event time until which the viewer is forgotten
        self._config = config
        self._max_recent = config.recent_events
        self._silence_ms = 1_000 * config.presence_timeout_s
        self._rules = RuleBook(config)
        self._begin()

    def _begin(self) -> None:
        """Knows nothing of the viewer."""
        self._visits: list[OpenVisit] = []  # by entered_at_ms, equal ones in log order
        self._open: OpenVisit | None = None  # the current visit; always the last of `_visits`
        self._habits: dict[str, OpenHabit] = {}
        self._open_habit: OpenHabit | None = None  # of `_habits`, that of the visit that began last
        # 63-bit hashes, the same in every process, as they are part of the profile. 31 bits are of room and action, 32
        # of the time or the event's id, so events of a viewer collide only where both parts do.
        self._recent: array[int] = array("q")  # takes and loads an eighth of the memory of a deque of ints
        self._total_visits = 0
        self._repeats = 0
        self._total_events = 0
        self._first_at_ms = 0
        self._last_at_ms = 0
        self._appended_ms = 0
        self._rules.clear()

    def apply(self, event: ViewerEvent, appended_ms: int, book: ActivityBook) -> Outcome:
        """Applies one event and books its effect on rooms: APPLIED, DUPLICATE (nothing changed) or STALE.

        Watch, like, gift and chat events count once per record, because five gifts may share a millisecond.
        DUPLICATE: an `id` among the last few events, or the same enter, leave or follow in the same millisecond.
        STALE: a leave from a room where the viewer is not, or from before the open visit; only counted as an event.
        DUPLICATE as well: an event from before the viewer's erasure, of which nothing is kept.
        """
        at_ms, action, room, recent = event.at_ms, event.action, event.room, self._recent
        if at_ms <= self._erased_ms or action in RULE_ACTIONS:
            return self._apply_apart(event, appended_ms, book)
        if event.id or action in _IS_SO_ONCE:
            low = crc32(event.id.encode()) if event.id else at_ms & _LOW_32
            key = (crc32(room.encode(), _ACTION_SEEDS[action]) >> 1) << 32 | low
            if (event.id or at_ms <= self._last_at_ms) and key in recent:  # a later event cannot repeat one
                return Outcome.DUPLICATE
            recent.append(key)
            if len(recent) > self._max_recent:
                del recent[0]
        if at_ms > self._last_at_ms:  # noqa: PLR1730  max() costs 60 ns an event
            self._last_at_ms = at_ms
        if not self._total_events or at_ms < self._first_at_ms:
            self._first_at_ms = at_ms
        if appended_ms > self._appended_ms:  # noqa: PLR1730
            self._appended_ms = appended_ms
        self._total_events += 1
        if appended_ms < at_ms <= appended_ms + MAX_AHEAD_MS:  # a fast clock: no event happens after it arrived
            event = structs.replace(event, at_ms=appended_ms)  # else a leave by a right clock would precede the enter
            at_ms = appended_ms
        visit = self._open
        if visit is not None and at_ms - visit.last_at_ms >= self._silence_ms:
            self._lapse(visit, book)
            visit = None
        if action == "enter":
            self._enter(event, book)
        elif action == "leave":
            return self._leave_said(event, book)
        else:
            self._act(event, visit if visit is not None and visit.room == room else self._visit(event, book), book)
        return _APPLIED

    def lapse(self, now_ms: int, book: ActivityBook) -> bool:
        """Ends the visit of a viewer who was silent for too long; returns whether it did. now_ms: event time."""
        visit = self._open
        if visit is None or now_ms - visit.last_at_ms < self._silence_ms:
            return False
        self._lapse(visit, book)
        return True

    def erase(self, at_ms: int, appended_ms: int, book: ActivityBook) -> Outcome:
        """Forgets the viewer, who leaves their room: APPLIED, or DUPLICATE where it is known, or a later one.

        What remains is when that was, so that earlier events that come late change nothing.
        """
        at_ms = min(at_ms, appended_ms)
        if at_ms <= self._erased_ms:
            return Outcome.DUPLICATE
        here = self._open
        if here is not None:
            left_ms = max(at_ms, here.last_at_ms)
            sums = book.silent(here.room, left_ms)
            sums.lapsed += 1  # it is no sign of life of the room
            self._close_visit(here, left_ms, sums)
        self._begin()
        self._erased_ms, self._appended_ms = at_ms, appended_ms
        return Outcome.APPLIED

    def _apply_apart(self, event: ViewerEvent, appended_ms: int, book: ActivityBook) -> Outcome:
        """Applies an event from before the viewer's erasure, which changes nothing, or a demand."""
        if event.at_ms > self._erased_ms:
            return self._demand(event, appended_ms)
        if appended_ms - self._erased_ms <= ERASURE_KEPT_MS:
            return Outcome.DUPLICATE
        self._erased_ms = NEVER_MS  # it is so long ago that it is forgotten itself
        return self.apply(event, appended_ms, book)

    def _demand(self, event: ViewerEvent, appended_ms: int) -> Outcome:
        """Applies what the viewer demands. It is no event of theirs in any room, and counts as none."""
        ahead = appended_ms < event.at_ms <= appended_ms + MAX_AHEAD_MS
        outcome = self._rules.apply(event, appended_ms if ahead else event.at_ms)
        if outcome is not Outcome.DUPLICATE:
            self._appended_ms = max(self._appended_ms, appended_ms)
        return outcome

    @property
    def room(self) -> str | None:
        """The viewer's current room, as far as is known."""
        return None if self._open is None else self._open.room

    @property
    def present_until_ms(self) -> int | None:
        """When the viewer is presumed gone unless another event comes; None where they are in no room."""
        return None if self._open is None else self._open.last_at_ms + self._silence_ms

    @property
    def total_visits(self) -> int:
        """Number of all visits so far."""
        return self._total_visits

    # presence

    def _enter(self, event: ViewerEvent, book: ActivityBook) -> None:
        here = self._open
        if here is not None and here.room == event.room:
            silence_ms = event.at_ms - here.last_at_ms
            if silence_ms < self._config.visit_gap_s * 1_000 and event.at_ms >= here.entered_at_ms:
                here.last_at_ms = max(here.last_at_ms, event.at_ms)  # a reload, not another visit
                book.sums(event.room, event.at_ms)  # a sign of life all the same
                self._habit(event)
                return
        self._open_visit(event, book)

    def _open_visit(self, event: ViewerEvent, book: ActivityBook) -> OpenVisit:
        """Begins a visit. One that is older than the newest visit is over already."""
        sums = book.sums(event.room, event.at_ms)
        sums.entered += 1
        if not self._total_visits:
            sums.newcomers += 1
        self._total_visits += 1
        habit = self._open_habit = self._habit(event)
        if habit.visits and habit.entered_at_ms > event.at_ms - RECENT_MS:
            sums.again += self._was_here(event)
        self._note_visit(habit, event.at_ms, sums)
        visit = OpenVisit(intern(event.room), habit.streamer, event.at_ms, event.at_ms)
        if self._visits and event.at_ms < self._visits[-1].entered_at_ms:
            sums.left += 1
            insort(self._visits, visit, key=_entered_at_ms)
        else:
            if self._open is not None:
                self._close_visit(self._open, event.at_ms, book.sums(self._open.room, event.at_ms))
            self._open = visit
            self._visits.append(visit)
        if len(self._visits) > self._config.visits:
            del self._visits[0]
        return visit

    def _was_here(self, event: ViewerEvent) -> bool:
        """Whether a visit to the same room began less than ten minutes before."""
        since_ms = event.at_ms - RECENT_MS
        for visit in reversed(self._visits):
            if visit.entered_at_ms <= since_ms:
                return False
            if visit.room == event.room:
                return True
        return False

    def _note_visit(self, habit: OpenHabit, at_ms: int, sums: RoomSums) -> None:
        """Updates the streamer's habit, and counts first entries and arrivals."""
        if habit.visits:
            self._repeats += 1
            habit.first_entered_at_ms = min(habit.first_entered_at_ms, at_ms)
            habit.entered_at_ms = max(habit.entered_at_ms, at_ms)
        else:
            sums.first_entered += 1
            habit.first_entered_at_ms = habit.entered_at_ms = at_ms
        habit.visits += 1
        if not self._visits:
            return
        last = self._visits[-1]
        if last.streamer != habit.streamer and last.entered_at_ms <= at_ms:
            sums.arrivals.append((at_ms, last.streamer))

    def _leave_said(self, event: ViewerEvent, book: ActivityBook) -> Outcome:
        here = self._open
        if here is None or here.room != event.room or event.at_ms < here.entered_at_ms:
            book.sums(event.room, event.at_ms)
            return Outcome.STALE
        here.last_at_ms = max(here.last_at_ms, event.at_ms)
        self._habit(event)
        self._close_visit(here, event.at_ms, book.sums(here.room, event.at_ms))
        return Outcome.APPLIED

    def _lapse(self, visit: OpenVisit, book: ActivityBook) -> None:
        """Ends a visit by a leave at the moment when the silence became too long, whenever that is noticed."""
        at_ms = visit.last_at_ms + self._silence_ms
        sums = book.silent(visit.room, at_ms)
        sums.lapsed += 1
        self._close_visit(visit, at_ms, sums)

    def _close_visit(self, visit: OpenVisit, at_ms: int, sums: RoomSums) -> None:
        sums.left += 1
        if not visit.watch_ms:
            watch_ms = min(max(0, at_ms - visit.entered_at_ms), self._config.max_gap_watch_s * 1_000)
            visit.watch_ms = watch_ms
            sums.watch_ms += watch_ms
            habit = self._habits.get(visit.streamer)
            if habit is not None:
                habit.watch_ms += watch_ms
        self._open = None

    # actions

    def _act(self, event: ViewerEvent, visit: OpenVisit | None, book: ActivityBook) -> None:
        action, at_ms, habit = event.action, event.at_ms, self._open_habit
        if habit is None or habit.streamer != event.streamer:
            habit = self._habit(event)
        elif at_ms > habit.last_at_ms:
            habit.last_at_ms = at_ms
        if visit is not None and at_ms > visit.last_at_ms:
            visit.last_at_ms = at_ms
        sums = book.sums(event.room, at_ms)
        if action == "chat":
            habit.chats += 1
            if visit is not None:
                visit.chats += 1
            return
        if action == "watch":
            watch_ms = round(event.seconds * 1_000)
            sums.watch_ms += watch_ms
            habit.watch_ms += watch_ms
            if visit is not None:
                visit.watch_ms += watch_ms
        elif action == "like":
            sums.likes += 1
            if visit is not None:
                visit.likes += 1
        elif action == "gift":
            sums.gifts += 1
            if visit is not None:
                visit.gifts += 1
        else:
            sums.follows += 1
            habit.followed = True

    def _visit(self, event: ViewerEvent, book: ActivityBook) -> OpenVisit | None:
        """The visit of an action outside the viewer's current room: a past one, a new one, or none."""
        visit = self._past_visit(event)
        if event.action not in _OPENING:
            return visit
        if visit is None and (not self._visits or event.at_ms >= self._visits[-1].last_at_ms):
            return self._open_visit(event, book)
        return visit

    def _past_visit(self, event: ViewerEvent) -> OpenVisit | None:
        """The past visit that a late action belongs to; None where it comes too late."""
        slack_ms = TRAILING_MS if event.action == "watch" else 0
        for visit in reversed(self._visits):
            if visit.room == event.room:
                return visit if event.at_ms <= visit.last_at_ms + slack_ms else None
        return None

    def _habit(self, event: ViewerEvent) -> OpenHabit:
        """Returns the habit of the event's streamer, its time updated. Drops the least recent of too many."""
        habits = self._habits
        habit = habits.get(event.streamer)
        if habit is not None:
            if event.at_ms > habit.last_at_ms:  # noqa: PLR1730
                habit.last_at_ms = event.at_ms
            return habit
        if len(habits) >= self._config.habits:
            del habits[min(habits, key=lambda streamer: (habits[streamer].last_at_ms, streamer))]
            self._open_habit = None  # it may be the one
        streamer = intern(event.streamer)
        habit = habits[streamer] = OpenHabit(streamer)
        habit.last_at_ms = event.at_ms
        return habit

    # profile

    def profile(self) -> ViewerProfile:
        """The viewer's current profile."""
        here = self._open
        return ViewerProfile(
            viewer=self.viewer,
            visits=tuple(
                Visit(
                    RoomId(visit.room), StreamerId(visit.streamer), visit.entered_at_ms, visit.last_at_ms,
                    visit.watch_ms, visit.chats, visit.likes, visit.gifts,
                )
                for visit in self._visits
            ),
            habits=tuple(
                StreamerHabit(
                    StreamerId(streamer), habit.visits, habit.watch_ms, habit.last_at_ms, habit.followed, habit.chats,
                    habit.first_entered_at_ms, habit.entered_at_ms,
                )
                for streamer, habit in self._habits.items()
            ),
            room=None if here is None else RoomId(here.room),
            total_visits=self._total_visits,
            total_events=self._total_events,
            first_at_ms=self._first_at_ms,
            last_at_ms=self._last_at_ms,
            recent_events=tuple(self._recent),
            appended_ms=self._appended_ms,
            repeats=self._repeats,
            rules=self._rules.rules(),
            erased_ms=max(self._erased_ms, 0),
        )  # fmt: skip

    def packed(self) -> bytes:
        """`codec.encode(self.profile())`, without building a profile first: a fifth of the time."""
        here = self._open
        return _PACKER.encode(
            (
                SCHEMA_VERSION,
                self.viewer,
                self._visits,
                list(self._habits.values()),
                None if here is None else here.room,
                self._total_visits,
                self._total_events,
                self._first_at_ms,
                self._last_at_ms,
                self._recent.tolist(),
                self._appended_ms,
                self._repeats,
                self._rules.rules(),
                max(self._erased_ms, 0),
            )
        )

    def restore(self, profile: ViewerProfile) -> None:
        """Continues from a profile. Only for a new instance."""
        for kept in profile.visits:
            visit = OpenVisit(intern(kept.room), intern(kept.streamer), kept.entered_at_ms, kept.last_at_ms)
            visit.watch_ms = kept.watch_ms
            visit.chats, visit.likes, visit.gifts = kept.chats, kept.likes, kept.gifts
            self._visits.append(visit)
        if profile.room is not None:
            self._open = self._visits[-1]
        for remembered in profile.habits:
            streamer = intern(remembered.streamer)
            habit = self._habits[streamer] = OpenHabit(streamer)
            habit.visits, habit.watch_ms = remembered.visits, remembered.watch_ms
            habit.last_at_ms, habit.followed = remembered.last_at_ms, remembered.followed
            habit.chats, habit.first_entered_at_ms = remembered.chats, remembered.first_entered_at_ms
            habit.entered_at_ms = remembered.entered_at_ms
        if self._open is not None:
            self._open_habit = self._habits.get(self._open.streamer)
        self._recent.extend(profile.recent_events[-self._max_recent :])
        self._total_visits, self._total_events = profile.total_visits, profile.total_events
        self._first_at_ms, self._last_at_ms = profile.first_at_ms, profile.last_at_ms
        self._appended_ms, self._repeats = profile.appended_ms, profile.repeats
        self._rules.restore(profile.rules)
        self._erased_ms = profile.erased_ms or NEVER_MS


def _entered_at_ms(visit: OpenVisit) -> int:
    return visit.entered_at_ms
