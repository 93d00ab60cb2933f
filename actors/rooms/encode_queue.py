"""Brings the texts of a worker's rooms to the encoder and the vectors back. Never reads the log, never publishes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from actors.rooms.encode_schedule import EncodeSchedule, NextText, Purpose
from actors.rooms.encoder_client import Encoded, InFlight
from actors.rooms.partition import RoomEntry
from streaming.clock import Clock
from streaming.metrics import Metrics
from streaming.room.reading import RoomText
from streaming.room.vectors import are_numbers, to_bytes
from streaming.room.window import ClosedSegment


@dataclass(frozen=True, slots=True)
class _Job:
    entry: RoomEntry
    purpose: Purpose
    text: RoomText | ClosedSegment
    since_ms: int
    can_wait: bool


class Backlog(NamedTuple):
    """The encoder's backlog. texts: wanted or in flight. stale: rooms whose vector misses text for over the promise."""

    texts: int
    stale: int


class Relief(NamedTuple):
    """Waiting times after which an encoder that is behind is relieved.

    segment_ms: then only the newest of a room's closed segments enters the mean. short_ms: chat that waited so long is
    encoded as a short text first.
    """

    segment_ms: int
    short_ms: int


class EncodeQueue:
    """Keeps the encoder busy with the texts that matter most. A text whose encoding fails is wanted again."""

    def __init__(
        self,
        schedule: EncodeSchedule[RoomEntry],
        in_flight: InFlight[_Job],
        patience: Relief,
        metrics: Metrics,
        clock: Clock,
        *,
        encoder_version: str = "",
        is_second: bool = False,
    ) -> None:
        """encoder_version: of the encoder; "" for the one that rooms are to be read with, until it is known.

        is_second: whether it reads beside the encoder in use.
        """
        self.encoder_version = encoder_version
        self._place = int(is_second)  # in RoomEntry.in_hand
        self._schedule = schedule
        self._in_flight = in_flight
        self._patience = patience
        self._that_wait = 0  # texts in flight that can wait
        self.behind_ms = 0  # how long the chat picked last had waited
        self._metrics = metrics
        self._clock = clock

    def want(self, entry: RoomEntry, since_ms: int, messages: int) -> None:
        """Notes which texts the room wants. messages: new since the last call, the oldest appended at `since_ms`."""
        aggregate, in_hand, encoder = entry.aggregate, entry.in_hand[self._place], self.encoder_version
        if not aggregate.started:
            return
        if encoder and self._place:
            aggregate.read_also_by(encoder)
        elif encoder:
            aggregate.read_by(encoder)
        in_hand.unseen += messages
        if aggregate.has_unread_chat(encoder):
            if aggregate.status == "live":
                self._schedule.want_now(entry, since_ms, in_hand.unseen, entry.audience)
            else:
                self._schedule.want_last(entry, since_ms)
        if not in_hand.segment_in_flight and aggregate.closed_segments(encoder):
            self._schedule.want_segment(entry, since_ms)
        if not in_hand.title_in_flight and aggregate.title_text(encoder) is not None:
            self._schedule.want_title(entry, since_ms)

    def forget(self, entry: RoomEntry) -> None:
        """Drops the wants of a room that is gone."""
        self._schedule.forget(entry)

    def submit(self, most: int | None = None, most_that_wait: int | None = None) -> list[RoomEntry]:
        """Submits as many texts as the encoder has room for. Returns rooms that turned out to need no vector.

        most: texts, where it shall be fewer. most_that_wait: of those that can wait, so many in flight at most.
        """
        vacancy = self._in_flight.vacancy()
        if most is not None:
            vacancy = min(vacancy, most)
        settled: list[RoomEntry] = []
        if not vacancy:
            return settled
        now_ms = self._clock.now_ms()
        jobs: list[_Job] = []
        room_left = None if most_that_wait is None else most_that_wait - self._that_wait
        for chosen in self._schedule.choose(vacancy, now_ms, self._in_flight.capacity, room_left):
            job = self._job(chosen, now_ms)
            if job is not None:
                jobs.append(job)
            elif chosen.room.aggregate.dirty:
                settled.append(chosen.room)
        size = self._in_flight.batch_texts
        for start in range(0, len(jobs), size):
            chunk = jobs[start : start + size]
            self._that_wait += sum(job.can_wait for job in chunk)
            self._in_flight.submit(chunk, [job.text.text for job in chunk], self.encoder_version)
        return settled

    def take_completed(self) -> list[RoomEntry]:
        """Applies completed vectors. Returns the rooms that changed."""
        changed: list[RoomEntry] = []
        for completed in self._in_flight.completed():
            self._that_wait -= sum(job.can_wait for job in completed.jobs)
            for row, job in enumerate(completed.jobs):
                if job.purpose == "now":
                    self._schedule.completed(job.entry)
                elif job.purpose == "title":
                    job.entry.in_hand[self._place].title_in_flight = False
                else:
                    job.entry.in_hand[self._place].segment_in_flight = False
                if job.entry.gone:
                    continue
                if completed.encoded is not None:
                    self._take(job, completed.encoded, row)
                    changed.append(job.entry)
                self.want(job.entry, job.since_ms if completed.encoded is None else self._clock.now_ms(), 0)
            if completed.encoded is not None:
                self._count(completed.jobs)
        return changed

    def backlog(self, now_ms: int) -> Backlog:
        """The backlog now."""
        return Backlog(self._schedule.waiting() + self._in_flight.texts, self._schedule.stale(now_ms))

    @property
    def answers(self) -> InFlight[_Job]:
        """What the encoder's answers say of it: its version, the one wanted, the one not to be had."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Texts that are wanted and not in flight."""
        return self._schedule.waiting()

    @property
    def texts_per_s(self) -> float:
        """The encoder's rate for this worker."""
        return self._in_flight.texts_per_s

    @property
    def in_flight(self) -> int:
        """Texts in flight at the encoder."""
        return self._in_flight.texts

    def wait_s(self, longest_s: float) -> float:
        """How long nothing can happen here, at most `longest_s`."""
        if self._in_flight.texts:  # a completed vector waits for the end of the poll
            return min(longest_s, 0.025, max(0.005, self._in_flight.batch_s / 8))
        if self._schedule.waiting():
            wake_ms = self._schedule.next_wake_ms()
            rest_s = 0.02 if wake_ms is None else (wake_ms - self._clock.now_ms()) / 1000
            return min(longest_s, max(0.001, min(rest_s, 0.05)))
        return longest_s

    def _job(self, chosen: NextText[RoomEntry], now_ms: int) -> _Job | None:
        entry, aggregate = chosen.room, chosen.room.aggregate
        in_hand, encoder = entry.in_hand[self._place], self.encoder_version
        if chosen.purpose == "now":
            self.behind_ms = now_ms - chosen.since_ms
            short = self.behind_ms > self._patience.short_ms
            text = None if entry.gone else aggregate.chat_text(encoder, short=short)
            in_hand.unseen = 0
            if text is None:
                self._schedule.completed(entry)
            return None if text is None else _Job(entry, "now", text, chosen.since_ms, chosen.can_wait)
        if chosen.purpose == "title":
            title = None if entry.gone else aggregate.title_text(encoder)
            in_hand.title_in_flight = title is not None
            return None if title is None else _Job(entry, "title", title, chosen.since_ms, chosen.can_wait)
        segments = [] if entry.gone else aggregate.closed_segments(encoder)
        if len(segments) > 1 and now_ms - chosen.since_ms > self._patience.segment_ms:
            self._metrics.count("segments_skipped_total", len(segments) - 1)
            for segment in segments[:-1]:
                aggregate.skip_segment(segment.index, encoder)
            segments = segments[-1:]
        in_hand.segment_in_flight = bool(segments)
        return _Job(entry, "segment", segments[0], chosen.since_ms, chosen.can_wait) if segments else None

    def _take(self, job: _Job, encoded: Encoded, row: int) -> None:
        """Applies one vector. One that is not of numbers is asked for once more; after that the text has no vector."""
        aggregate, vector = job.entry.aggregate, to_bytes(encoded.vectors[row])
        if not are_numbers(vector):
            self._metrics.count("vectors_refused_total", reader="encoder")
            refused = job.entry.in_hand[self._place].refused
            if refused.get(job.purpose) != job.text.text:
                refused[job.purpose] = job.text.text
                return
        if isinstance(job.text, ClosedSegment):
            aggregate.add_segment(job.text.index, vector, encoded.version)
        elif job.purpose == "title":
            aggregate.set_title_vector(job.text, vector, encoded.version)
        else:
            aggregate.set_chat_vector(job.text, vector, encoded.version)
            if not self._place:
                waited_ms = self._clock.now_ms() - job.text.appended_ms
                self._metrics.observe("freshness_seconds", max(0, waited_ms) / 1000, stage="encoded")

    def _count(self, jobs: Sequence[_Job]) -> None:
        purposes: dict[str, int] = {}
        for job in jobs:
            purpose = "short" if isinstance(job.text, RoomText) and job.text.short else str(job.purpose)
            purpose = "second" if self._place else purpose
            purposes[purpose] = purposes.get(purpose, 0) + 1
        for purpose, count in purposes.items():
            self._metrics.count("texts_encoded_total", count, purpose=purpose)
