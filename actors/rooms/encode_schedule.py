"""The schedule that chooses the texts to encode next within the encoder's capacity. Never encodes, never reads a clock.

A room has at most three wants: its title (it changed), a closed segment (for the slow mean), and "now" (chat that its
vector has not seen). `choose` serves them in this order:

1. titles, oldest first;
2. "now" of rooms whose oldest unseen message waits for `urgent_ms` or longer, oldest first;
3. closed segments, oldest first;
4. "now" of the other live rooms, earliest due first, with
   due = waiting since + urgent_ms / (1 + bits(unseen messages) / 4 + bits(audience) / 4),  bits(n) = floor(log2 n) + 1.
5. "now" of rooms that have ended.

A due time depends on facts and not on the length of the queue. An entry is passed only by entries due before it, and
every entry becomes urgent: no live room starves. Where others wait, one in TITLES_IN_A_ROW + 1 choices is no title and
one in SEGMENT_TURN is a segment: a flood of titles or a lasting overload starves nobody either.
A room rests after a "now" for as long as the encoder needs to get once around all active rooms.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar, cast

from actors.settings import ScheduleConfig

R = TypeVar("R")
Purpose = Literal["title", "segment", "now"]

TITLES_IN_A_ROW = 3
SEGMENT_TURN = 8


class NextText(NamedTuple, Generic[R]):
    """One text to encode. since_ms: since when it is wanted. can_wait: it is not what is said now in a live room."""

    room: R
    purpose: Purpose
    since_ms: int
    can_wait: bool = False


@dataclass(slots=True)
class _Now:
    since_ms: int  # append time of the first message that no vector has seen
    due_ms: int


class EncodeSchedule(Generic[R]):
    """The wants of all rooms of a worker, O(log n) each. A choice takes a want out; if it fails, it is wanted again."""

    def __init__(self, config: ScheduleConfig, *, now_first: bool = False) -> None:
        """now_first: every second choice is a "now", and segments wait for their turn, where all rooms are behind."""
        self._config = config
        self._now_first = now_first
        self._most_titles = 1 if now_first else TITLES_IN_A_ROW
        self._titles: dict[R, int] = {}
        self._segments: dict[R, int] = {}
        self._now: dict[R, _Now] = {}  # in the order of the times since which they wait
        self._due: list[tuple[int, int, R]] = []  # due time, ticket, room; outdated entries are skipped
        self._rests: dict[R, int] = {}  # resting rooms: when each may be picked again
        self._resting: list[tuple[int, int, R]] = []
        self._pending: dict[R, int] = {}  # "now" in flight: waiting since
        self._last: dict[R, int] = {}  # rooms that have ended, waiting since
        self._later: dict[R, tuple[int, int, int]] = {}  # wanted while another was in flight: since, messages, audience
        self._ticket = 0
        self._titles_in_a_row = 0
        self._since_segment = 0

    def want_title(self, room: R, since_ms: int) -> None:
        """Adds a title that is newer than its vector."""
        self._titles.setdefault(room, since_ms)

    def want_segment(self, room: R, since_ms: int) -> None:
        """Adds a closed segment that is not in the room's mean."""
        self._segments.setdefault(room, since_ms)

    def want_now(self, room: R, since_ms: int, messages: int, audience: int) -> None:
        """Adds a "now": `messages` that no vector has seen, the oldest appended at `since_ms`."""
        if room in self._pending:
            since_ms = self._later[room][0] if room in self._later else since_ms
            self._later[room] = (since_ms, messages, audience)
            return
        self._last.pop(room, None)
        entry = self._now.get(room)
        if entry is None:
            entry = self._now[room] = _Now(since_ms, since_ms + self._config.urgent_ms + 1)
        weight = 4 + messages.bit_length() + audience.bit_length()
        due_ms = entry.since_ms + self._config.urgent_ms * 4 // weight
        if due_ms < entry.due_ms:  # only as often as the bits grow
            entry.due_ms = due_ms
            if room not in self._rests:
                self._push(room, due_ms)

    def want_last(self, room: R, since_ms: int) -> None:
        """Adds a "now" of a room that has ended: its turn comes when nothing else waits."""
        entry = self._now.pop(room, None)
        self._later.pop(room, None)
        if room not in self._pending:
            self._last.setdefault(room, since_ms if entry is None else entry.since_ms)

    def completed(self, room: R) -> None:
        """Notes that a picked "now" is completed, with a vector or without."""
        self._pending.pop(room, None)
        later = self._later.pop(room, None)
        if later is not None:
            self.want_now(room, *later)

    def forget(self, room: R) -> None:
        """Drops all wants of a room."""
        self._titles.pop(room, None)
        self._segments.pop(room, None)
        self._now.pop(room, None)
        self._last.pop(room, None)
        self._pending.pop(room, None)
        self._later.pop(room, None)

    def choose(
        self, limit: int, now_ms: int, texts_per_s: float, most_that_wait: int | None = None
    ) -> list[NextText[R]]:
        """At most `limit` wants in order, each taken out. texts_per_s: what the encoder can do.

        most_that_wait: of those that can wait, at most so many.
        """
        self._wake(now_ms)
        active = len(self._rests) + len(self._now) + len(self._pending)
        turn_ms = int(1000 * active / (self._config.load * max(texts_per_s, 1.0)))
        rest_ms = max(self._config.rest_ms, min(turn_ms, self._config.urgent_ms // 2))
        chosen_texts: list[NextText[R]] = []
        that_wait = limit if most_that_wait is None else most_that_wait
        while len(chosen_texts) < limit:
            chosen = self._next(now_ms) if that_wait > 0 else self._next_now(now_ms)
            if chosen is None:
                break
            chosen_texts.append(chosen)
            that_wait -= chosen.can_wait
            if chosen.purpose == "now":
                self._pending[chosen.room] = chosen.since_ms
                self._rests[chosen.room] = now_ms + rest_ms
                self._ticket += 1
                heapq.heappush(self._resting, (now_ms + rest_ms, self._ticket, chosen.room))
        return chosen_texts

    def next_wake_ms(self) -> int | None:
        """The time at which the next resting room may be picked, None if no room rests."""
        return self._resting[0][0] if self._resting else None

    def waiting(self) -> int:
        """Number of texts that are wanted and not in flight."""
        return len(self._titles) + len(self._segments) + len(self._now) + len(self._last) + len(self._later)

    def stale(self, now_ms: int) -> int:
        """Number of rooms with a message that no vector has seen for longer than `stale_ms`."""
        before_ms = now_ms - self._config.stale_ms
        pending = sum(since_ms < before_ms for since_ms in self._pending.values())
        return pending + sum(entry.since_ms < before_ms for entry in self._now.values())

    def _next(self, now_ms: int) -> NextText[R] | None:
        others = bool(self._now or self._segments)
        if self._titles and (self._titles_in_a_row < self._most_titles or not others):
            self._titles_in_a_row += 1
            return self._oldest(self._titles, "title")
        self._titles_in_a_row = 0
        self._since_segment += 1
        if self._segments and self._since_segment >= SEGMENT_TURN:
            return self._oldest(self._segments, "segment")
        room = self._urgent(now_ms)
        if room is None and (self._now_first or not self._segments):
            room = self._earliest_due()
        if room is not None:
            return self._take(room)
        if self._segments:
            return self._oldest(self._segments, "segment")
        wants, purpose = (self._titles, "title") if self._titles else (self._last, "now")
        return self._oldest(wants, cast(Purpose, purpose)) if wants else None

    def _next_now(self, now_ms: int) -> NextText[R] | None:
        """What is said now in a live room, passing all else over."""
        room = self._urgent(now_ms)
        if room is None:
            room = self._earliest_due()
        return None if room is None else self._take(room)

    def _oldest(self, wants: dict[R, int], purpose: Purpose) -> NextText[R]:
        if purpose == "segment":
            self._since_segment = 0
        room = next(iter(wants))
        return NextText(room, purpose, wants.pop(room), can_wait=True)

    def _urgent(self, now_ms: int) -> R | None:
        for room, entry in self._now.items():  # the first that does not rest: rests are shorter than urgent waits
            if entry.since_ms > now_ms - self._config.urgent_ms:
                return None
            if room not in self._rests:
                return room
        return None

    def _earliest_due(self) -> R | None:
        while self._due:
            due_ms, _, room = self._due[0]
            entry = self._now.get(room)
            if entry is not None and entry.due_ms == due_ms and room not in self._rests:
                return room
            heapq.heappop(self._due)
        return None

    def _take(self, room: R) -> NextText[R]:
        return NextText(room, "now", self._now.pop(room).since_ms)

    def _push(self, room: R, due_ms: int) -> None:
        self._ticket += 1
        heapq.heappush(self._due, (due_ms, self._ticket, room))

    def _wake(self, now_ms: int) -> None:
        while self._resting and self._resting[0][0] <= now_ms:
            until_ms, _, room = heapq.heappop(self._resting)
            if self._rests.get(room) == until_ms:
                del self._rests[room]
                if room in self._now:
                    self._push(room, self._now[room].due_ms)
