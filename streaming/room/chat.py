"""Aggregate of a room's chat and speech: counts, window, closed segments and their vectors. Never sees a title.

To restart, `restore` a published state, then apply the log again from `retained_offset` or before. Messages up
to the state's offset only rebuild the window; later ones count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from streaming.events import Outcome, RoomState
from streaming.room.language import guess_language
from streaming.room.reading import Reading, Readings, RoomText
from streaming.room.recent import RecentMessages
from streaming.room.text import text_hash
from streaming.room.vectors import updated_mean
from streaming.room.window import NO_OFFSET, ChatLine, ChatStatistics, ChatWindow, ClosedSegment
from streaming.room.window_config import WindowConfig


class _Waiting:
    """A closed segment in the queue to the mean. settled: its vector has come, or none will."""

    __slots__ = ("segment", "settled", "vector")

    def __init__(self, segment: ClosedSegment) -> None:
        self.segment = segment
        self.settled = not segment.text
        self.vector = b""


class _WantedText:
    """Whether a segment's text may be needed: one in `every`, all until one is in the mean. No part of the state."""

    __slots__ = ("_every", "_phase", "none_yet")

    def __init__(self, every: int, phase: int) -> None:
        self._every = every
        self._phase = phase
        self.none_yet = True

    def __call__(self, index: int) -> bool:
        return self.none_yet or (index + self._phase) % self._every == 0


class ChatAggregate:
    """Aggregate of the chat of one room. Attributes are the fields of RoomState of the same names."""

    __slots__ = (
        "_config", "_left_offset", "_phase", "_published_mean_segment", "_readings", "_replaying",
        "_resumed_arrived_ms", "_resumed_at_ms", "_resumed_speech_ms", "_retained", "_statistics", "_text",
        "_unpublished_offset", "_waiting", "_wanted", "_window", "language", "mean_segment", "messages", "offset",
        "recent", "segments_skipped",
    )  # fmt: skip

    def __init__(self, config: WindowConfig, phase: int, readings: Readings) -> None:
        """phase: shifts which segments enter the slow mean, so that rooms do not all ask for vectors at one time.

        readings: the room's; what encoders have read of the chat is kept there.
        """
        self._config = config
        self._readings = readings
        self._phase = phase
        self._wanted = _WantedText(config.mean_every, phase)
        self._window = ChatWindow(config, wanted=self._wanted)
        self._statistics: ChatStatistics | None = ChatStatistics()  # None: to be computed again
        self._text: RoomText | None = None  # cached text at `offset`
        self._waiting: list[_Waiting] = []  # closed segments that are not in the mean yet, in order
        self._retained: list[ClosedSegment] = []  # closed segments that are not in a published mean yet, without text
        self._replaying = False  # whether the records read now were counted before the restart
        self._resumed_at_ms = 0  # the newest event time of a message before the restart
        self._resumed_speech_ms = 0  # and that of a transcript
        self._resumed_arrived_ms = 0  # append time of the message with that event time
        self._unpublished_offset = -1
        self._left_offset = NO_OFFSET  # first offset in slices that have left the window since the last published state
        self._published_mean_segment = -1
        self.messages = 0
        self.recent = RecentMessages()
        self.offset = -1
        self.language = ""
        self.mean_segment = -1
        self.segments_skipped = 0  # since the owner last took the count

    # messages

    def apply(self, lines: Sequence[ChatLine], counts: list[int]) -> int:
        """Applies messages and returns how many were not REPLAYED. Their outcomes are added to `counts`, by Outcome.

        Outcomes are APPLIED, LATE, DUPLICATE and REPLAYED. Offsets rise, except that a restart begins at earlier ones.
        """
        if self._replaying or lines[0][3] <= self.offset:
            lines = self._replay(lines, counts)
            if not lines:
                return 0
        late, duplicates = counts[Outcome.LATE], counts[Outcome.DUPLICATE]
        self._window.add_all(lines, counts)
        late, duplicates = counts[Outcome.LATE] - late, counts[Outcome.DUPLICATE] - duplicates
        counts[Outcome.APPLIED] += len(lines) - late - duplicates
        window = self._window
        self.messages += sum(window.tally.values())
        self.recent.add(window.tally, window.heard)
        window.tally.clear()
        window.heard.clear()
        if window.left_offset < NO_OFFSET:
            self._left_offset = min(self._left_offset, window.left_offset)
            window.left_offset = NO_OFFSET
        if self._unpublished_offset < 0:
            self._unpublished_offset = lines[0][3]
        self.offset = lines[-1][3]
        self._statistics = None
        self._text = None
        if self._window.closed:
            self._take_closed()
        return len(lines)

    def _replay(self, lines: Sequence[ChatLine], counts: list[int]) -> Sequence[ChatLine]:
        """Rebuilds the window from messages that were counted before the restart; returns those that were not."""
        new = next((place for place, line in enumerate(lines) if line[3] > self.offset), len(lines))
        counts[Outcome.REPLAYED] += new
        if self._replaying:
            if new:
                self._window.add_all(lines[:new], [0] * len(Outcome))
                self._window.tally.clear()
                self._window.heard.clear()
                if self._window.closed:
                    self._take_closed()
            if new < len(lines) or lines[-1][3] == self.offset:
                self._end_replay()
        return lines[new:]

    def _end_replay(self) -> None:
        """Ends the replay and restores the watermark: the message that set it may lie before what was read again."""
        self._replaying = False
        self._window.resume(self._resumed_at_ms, self._resumed_speech_ms)
        self._window.left_offset = NO_OFFSET  # what was read again is published
        self._take_closed()

    def expire(self, head_ms: int) -> None:
        """Closes idle segments and frees what is not needed. head_ms: newest append time of the partition."""
        if head_ms <= self._window.due_ms:
            return
        if self._statistics is None:
            self._statistics = self._window.statistics()
        encoded = self._readings.front.published_offset >= self.offset and not self._replaying
        self._window.expire(head_ms, forget=encoded)
        self._take_closed()

    @property
    def due_ms(self) -> int:
        """Append time up to which `expire` would do nothing."""
        return self._window.due_ms

    @property
    def appended_ms(self) -> int:
        """Newest append time."""
        return self._window.head_ms

    @property
    def at_ms(self) -> int:
        """Newest event time of a message."""
        return max(self._resumed_at_ms, self._window.watermark_ms)

    @property
    def speech_at_ms(self) -> int:
        """Newest event time of a transcript."""
        return max(self._resumed_speech_ms, self._window.speech_ms)

    @property
    def arrived_ms(self) -> int:
        """Append time of the message whose event time is `at_ms`."""
        window = self._window
        return window.watermark_arrived_ms if window.watermark_ms > self._resumed_at_ms else self._resumed_arrived_ms

    @property
    def num_heard(self) -> int:
        """Messages since construction that count in a rate. No part of the state."""
        return self._window.num_heard

    def statistics(self) -> ChatStatistics:
        """Counts of the last 30 s of event time, up to the newest message."""
        if self._statistics is None:
            self._statistics = self._window.statistics()
        return self._statistics

    @property
    def dirty(self) -> bool:
        """Whether a vector or the mean has changed since the last published state."""
        front, second = self._readings.front, self._readings.second
        is_second = second is not None and second.vector_offset != second.published_offset
        return (
            self.mean_segment != self._published_mean_segment
            or front.vector_offset != front.published_offset
            or is_second
        )

    # the text now

    def is_pending(self, reading: Reading) -> bool:
        """Whether there is chat that an encoder has not read; `text` is not None where that changes its text."""
        return reading.vector_offset < self.offset

    def text(self, reading: Reading) -> RoomText | None:
        """The text for an encoder to read now; None where its vector is up to date or would not change."""
        if reading.vector_offset >= self.offset or self._replaying:
            return None
        text = self._current_text()
        if text.text and text.hash != reading.chat_hash:
            return text
        if not text.text:  # an empty text has no vector
            reading.chat_vector, reading.chat_hash = b"", 0
            if reading is self._readings.front:
                self.language = ""
        reading.saw(text)
        return None

    def _current_text(self) -> RoomText:
        """The text of the last 30 s up to the newest message; kept, for the window forgets what an encoder has read."""
        front = self._readings.front
        if self._text is None:
            now = self._window.text()
            if front.vector_offset >= self.offset and text_hash(now) != front.chat_hash:
                now = ""  # it was read before a restart, and the window has forgotten it
            self._text = RoomText(
                now, text_hash(now), self.offset, max(self.at_ms, self.speech_at_ms), self.appended_ms
            )
        return self._text

    def short_text(self, reading: Reading) -> RoomText | None:
        """A shortened `text`, for an encoder that is behind. The whole one where it is short already."""
        text = self.text(reading)
        if text is None or len(text.text) <= self._config.short_chars:
            return text
        return replace(text, text=self._window.text(short=True), hash=0, short=True)

    def set_vector(self, reading: Reading, text: RoomText, vector: bytes) -> bool:
        """Takes the vector of a text by the encoder of a reading. False where a newer text has one already."""
        if not reading.take_chat(text, vector):
            return False
        if reading is self._readings.front:
            self.language = guess_language(text.text)
        return True

    def note_encoders(self) -> None:
        """Notes that the readings have become others: an encoder without a mean wants the next segment."""
        readings = self._readings
        self._wanted.none_yet = not readings.front.mean_vector or (
            readings.second is not None and readings.second_reads and not readings.second.mean_vector
        )

    # segments

    def _take_closed(self) -> None:
        second = self._readings.second if self._readings.second_reads else None
        for segment in self._window.closed:
            in_turn = (segment.index + self._phase) % self._config.mean_every == 0
            if second is not None and segment.text and (in_turn or not second.mean_vector):
                second.want_segment(segment)
            if not in_turn and not self._is_first():
                segment = ClosedSegment(segment.index, "", 0, segment.first_offset)  # noqa: PLW2901
            self._waiting.append(_Waiting(segment))
            self._retain(segment)
        self._window.closed.clear()
        surplus = len(self._waiting) - self._config.waiting_segments
        for waiting in self._waiting[: max(0, surplus)]:
            self.segments_skipped += not waiting.settled
            waiting.settled = True
        self._drain()

    def _is_first(self) -> bool:
        """Whether the next segment enters the mean out of turn: no segment with text has. Depends on the log alone."""
        return not self._readings.front.mean_vector and all(waiting.settled for waiting in self._waiting)

    def _retain(self, segment: ClosedSegment) -> None:
        if len(self._retained) >= 2 * self._config.waiting_segments:  # no state is published: one entry stands for two
            last = self._retained.pop()
            segment = ClosedSegment(segment.index, "", 0, min(last.first_offset, segment.first_offset))
        self._retained.append(ClosedSegment(segment.index, "", 0, segment.first_offset))

    def closed_segments(self, reading: Reading) -> list[ClosedSegment]:
        """Segments that wait for an encoder's vector, oldest first."""
        if reading is not self._readings.front:
            return reading.waiting if self._readings.second_reads else []
        return [waiting.segment for waiting in self._waiting if not waiting.settled]

    def settle_segment(self, reading: Reading, index: int, vector: bytes) -> bool:
        """Takes a segment's vector, b"" to leave it out of the mean. Segments enter the mean in their order."""
        if reading is not self._readings.front:
            settled = reading.settle_segment(index, vector, self._config.mean_alpha)
            self.note_encoders()
            return settled
        for waiting in self._waiting:
            if waiting.segment.index == index and not waiting.settled:
                waiting.settled, waiting.vector = True, vector
                self._drain()
                return True
        return False

    def _drain(self) -> None:
        while self._waiting and self._waiting[0].settled:
            waiting = self._waiting.pop(0)
            if waiting.vector:
                front = self._readings.front
                front.mean_vector = updated_mean(front.mean_vector, waiting.vector, self._config.mean_alpha)
                self.note_encoders()
            self.mean_segment = waiting.segment.index

    # restart

    def retained_offset(self, head_ms: int) -> int | None:
        """The offset from which a restart must read this room's chat again; None where it needs nothing of it."""
        pending = self._readings.front.published_offset < self.offset
        offsets = [segment.first_offset for segment in self._retained]
        held = self._window.retained_offset(head_ms, everything=pending)
        if held is not None:
            offsets.append(held)
        if self._unpublished_offset >= 0:
            offsets.append(self._unpublished_offset)
        if self._left_offset < NO_OFFSET:  # of its messages some may be unpublished: who wrote before has to be known
            offsets.append(self._left_offset)
        return min(offsets, default=None)

    def mark_published(self) -> None:
        """Notes that the current state is on the log, or commits together with the positions."""
        self._unpublished_offset = -1
        self._left_offset = NO_OFFSET
        self._published_mean_segment = self.mean_segment
        self._readings.mark_published()
        self._retained = [segment for segment in self._retained if segment.index > self.mean_segment]

    def restore(self, state: RoomState) -> None:
        """Continues from a published state. The owner restores the readings before."""
        self._window = ChatWindow(self._config, state.mean_segment, self._wanted)
        self._statistics = ChatStatistics(state.window_messages, state.window_chatters, state.previous_messages)
        self._resumed_at_ms, self._resumed_arrived_ms = state.chat_at_ms, state.chat_arrived_ms
        self._resumed_speech_ms = state.speech_at_ms
        self.messages, self.offset = state.messages, state.chat_offset
        self.recent.restore(state.recent_messages, state.recent_heard, state.recent_messages_ms)
        self._replaying = self.offset >= 0
        self.language = state.chat_language
        self.mean_segment = state.mean_segment
        self.note_encoders()
        self.mark_published()
