"""Aggregate of a room's chat: counts, window, closed segments and their vectors. Never sees a title.

To restart, `restore` a published state, then apply the log again from `retained_offset` or before. Messages up
to the state's offset only rebuild the window; later ones count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from streaming.events import Outcome, RoomState
from streaming.room.language import guess_language
from streaming.room.recent import RecentMessages
from streaming.room.text import text_hash
from streaming.room.vectors import updated_mean
from streaming.room.window import ChatLine, ChatStatistics, ChatWindow, ClosedSegment
from streaming.room.window_config import WindowConfig


@dataclass(frozen=True, slots=True)
class RoomText:
    """A text of a room to be encoded, and the newest record in it. It comes back with its vector.

    hash: of the text. offset: newest record in the text. at_ms, appended_ms: newest event time and append time in it.
    short: only part of what the window would give; the rest follows.
    """

    text: str
    hash: int
    offset: int
    at_ms: int
    appended_ms: int
    short: bool = False


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
        "_config", "_phase", "_published_mean_segment", "_published_vector_offset", "_replaying",
        "_resumed_arrived_ms", "_resumed_at_ms", "_retained", "_statistics", "_text", "_unpublished_offset", "_waiting",
        "_wanted", "_window", "chat_hash", "language", "mean_segment", "mean_vector", "messages", "offset",
        "recent", "segment_end_ms", "segments_skipped", "vector", "vector_appended_ms", "vector_offset",
    )  # fmt: skip

    def __init__(self, config: WindowConfig, phase: int) -> None:
        """phase: shifts which segments enter the slow mean, so that rooms do not all ask for vectors at one time."""
        self._config = config
        self._phase = phase
        self._wanted = _WantedText(config.mean_every, phase)
        self._window = ChatWindow(config, wanted=self._wanted)
        self._statistics: ChatStatistics | None = ChatStatistics()  # None: to be computed again
        self._text: RoomText | None = None  # cached text at `offset`
        self._waiting: list[_Waiting] = []  # closed segments that are not in the mean yet, in order
        self._retained: list[ClosedSegment] = []  # closed segments that are not in a published mean yet, without text
        self._replaying = False  # whether the records read now were counted before the restart
        self._resumed_at_ms = 0  # the watermark before the restart
        self._resumed_arrived_ms = 0  # append time of the message with that event time
        self._unpublished_offset = -1
        self._published_mean_segment = -1
        self._published_vector_offset = -1
        self.messages = 0
        self.recent = RecentMessages()
        self.offset = -1
        self.vector = b""
        self.chat_hash = 0
        self.vector_offset = -1
        self.vector_appended_ms = 0
        self.segment_end_ms = 0
        self.language = ""
        self.mean_vector = b""
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
        self.messages += len(lines) - duplicates
        window = self._window
        self.recent.add(window.tally, window.heard)
        window.tally.clear()
        window.heard.clear()
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
        self._window.resume(self._resumed_at_ms)
        self._take_closed()

    def expire(self, head_ms: int) -> None:
        """Closes idle segments and frees what is not needed. head_ms: newest append time of the partition."""
        if head_ms <= self._window.due_ms:
            return
        if self._statistics is None:
            self._statistics = self._window.statistics()
        encoded = self._published_vector_offset >= self.offset and not self._replaying
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
        """Newest event time."""
        return max(self._resumed_at_ms, self._window.watermark_ms)

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
        return self.mean_segment != self._published_mean_segment or self.vector_offset != self._published_vector_offset

    # the text now

    def text(self) -> RoomText | None:
        """The text to be encoded now; None where the vector is up to date or would not change."""
        if self.vector_offset >= self.offset or self._replaying:
            return None
        if self._text is None:
            text = self._window.text()
            self._text = RoomText(text, text_hash(text), self.offset, self.at_ms, self.appended_ms)
        if self._text.text and self._text.hash != self.chat_hash:
            return self._text
        if not self._text.text:  # an empty text has no vector
            self.vector, self.chat_hash, self.language = b"", 0, ""
        self._saw(self._text)
        return None

    def short_text(self) -> RoomText | None:
        """A shortened `text`, for an encoder that is behind. The whole one where it is short already."""
        text = self.text()
        if text is None or len(text.text) <= self._config.short_chars:
            return text
        return replace(text, text=self._window.text(short=True), hash=0, short=True)

    def set_vector(self, text: RoomText, vector: bytes) -> bool:
        """Takes the vector of a text. False where a newer text has one already.

        A short text's vector is provisional, and the whole text is still wanted: the final vector of a quiet room
        depends on the log only, not on how busy the encoder was.
        """
        if text.offset <= self.vector_offset:
            return False
        self.vector = vector
        self.chat_hash = text.hash
        self.language = guess_language(text.text)
        if text.short:
            self.vector_appended_ms = max(self.vector_appended_ms, text.appended_ms)
            self.segment_end_ms = text.at_ms
        else:
            self._saw(text)
        return True

    def _saw(self, text: RoomText) -> None:
        self.vector_offset = text.offset
        self.vector_appended_ms = max(self.vector_appended_ms, text.appended_ms)
        self.segment_end_ms = text.at_ms

    def drop_vectors(self) -> None:
        """Drops all vectors, because another encoder made them: they do not compare with this one's."""
        self.vector, self.chat_hash, self.vector_offset, self.mean_vector = b"", 0, -1, b""
        self._wanted.none_yet = True

    # segments

    def _take_closed(self) -> None:
        for segment in self._window.closed:
            if not self._belongs_to_mean(segment.index):
                segment = ClosedSegment(segment.index, "", 0, segment.first_offset)  # noqa: PLW2901
            self._waiting.append(_Waiting(segment))
            self._retain(segment)
        self._window.closed.clear()
        surplus = len(self._waiting) - self._config.waiting_segments
        for waiting in self._waiting[: max(0, surplus)]:
            self.segments_skipped += not waiting.settled
            waiting.settled = True
        self._drain()

    def _belongs_to_mean(self, index: int) -> bool:
        """True for the first segment with text, then for one in `mean_every`. Depends on the log alone."""
        first = not self.mean_vector and all(waiting.settled for waiting in self._waiting)
        return first or (index + self._phase) % self._config.mean_every == 0

    def _retain(self, segment: ClosedSegment) -> None:
        if len(self._retained) >= 2 * self._config.waiting_segments:  # no state is published: one entry stands for two
            last = self._retained.pop()
            segment = ClosedSegment(segment.index, "", 0, min(last.first_offset, segment.first_offset))
        self._retained.append(ClosedSegment(segment.index, "", 0, segment.first_offset))

    def closed_segments(self) -> list[ClosedSegment]:
        """Segments that wait for a vector, oldest first."""
        return [waiting.segment for waiting in self._waiting if not waiting.settled]

    def settle_segment(self, index: int, vector: bytes) -> bool:
        """Takes a segment's vector, b"" to leave it out of the mean. Segments enter the mean in their order."""
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
                self.mean_vector = updated_mean(self.mean_vector, waiting.vector, self._config.mean_alpha)
                self._wanted.none_yet = False
            self.mean_segment = waiting.segment.index

    # restart

    def retained_offset(self, head_ms: int) -> int | None:
        """The offset from which a restart must read this room's chat again; None where it needs nothing of it."""
        pending = self._published_vector_offset < self.offset
        offsets = [segment.first_offset for segment in self._retained]
        held = self._window.retained_offset(head_ms, everything=pending)
        if held is not None:
            offsets.append(held)
        if self._unpublished_offset >= 0:
            offsets.append(self._unpublished_offset)
        return min(offsets, default=None)

    def mark_published(self) -> None:
        """Notes that the current state is on the log, or commits together with the positions."""
        self._unpublished_offset = -1
        self._published_mean_segment = self.mean_segment
        self._published_vector_offset = self.vector_offset
        self._retained = [segment for segment in self._retained if segment.index > self.mean_segment]

    def restore(self, state: RoomState) -> None:
        """Continues from a published state."""
        self._window = ChatWindow(self._config, state.mean_segment, self._wanted)
        self._statistics = ChatStatistics(state.window_messages, state.window_chatters, state.previous_messages)
        self._resumed_at_ms, self._resumed_arrived_ms = state.chat_at_ms, state.chat_arrived_ms
        self.messages, self.offset = state.messages, state.chat_offset
        self.recent.restore(state.recent_messages, state.recent_heard, state.recent_messages_ms)
        self._replaying = self.offset >= 0
        self.vector, self.chat_hash, self.vector_offset = state.chat_vector, state.chat_hash, state.vector_offset
        self.vector_appended_ms, self.segment_end_ms = state.appended_ms, state.segment_end_ms
        self.language = state.chat_language
        self.mean_vector, self.mean_segment = state.mean_vector, state.mean_segment
        self._wanted.none_yet = not self.mean_vector
        self.mark_published()
