"""A room's chat by event time: slices of 5 s, the last 30 s, and segments that close. Never encodes or publishes.

Texts and counts are a function of the room's own messages in log order and of their append times only. The boundaries
of batches, and how often `expire` is called, do not change them. What the streamer says is in the texts and moves the
time on, and it counts as no message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from streaming.events import Outcome
from streaming.room.saying import beginning
from streaming.room.sketch import DistinctViewers
from streaming.room.slice import SLICE_MS, Slice
from streaming.room.text import build_chat_text, build_mixed_text, join_few, text_hash
from streaming.room.window_config import WindowConfig

SEGMENT_SLICES = 6
SEGMENT_MS = SLICE_MS * SEGMENT_SLICES
HELD_SLICES = 2 * SEGMENT_SLICES  # the last 30 s and the 30 s before, whose difference is the chat's velocity
NEVER_MS = 1 << 62
NO_SLICE = -1
NO_OFFSET = 1 << 62
NOTED_MESSAGES = 256  # per slice, between two calls
FEW_MESSAGES = 16  # their text is likely to hold all of them

# Viewer, None where the streamer said it; text, at_ms, offset, appended_ms
ChatLine = tuple[str | None, str, int, int, int]


@dataclass(frozen=True, slots=True)
class ClosedSegment:
    """Segment `index`, the time [30 * index, 30 * index + 30) s, as it was when it closed. hash: of the text."""

    index: int
    text: str
    hash: int
    first_offset: int  # reading again from here rebuilds it


@dataclass(frozen=True, slots=True)
class ChatStatistics:
    """Counts of the last 30 s of event time (`messages`, `chatters`) and of the 30 s before (`previous`)."""

    messages: int = 0
    chatters: int = 0
    previous: int = 0


class ChatWindow:
    """The window of one room's chat.

    The owner takes and clears these: `closed`, closed segments in order; `tally`, messages by slice, with late ones
    and without duplicates; `heard`, those of them that count in a rate: a few of each chatter, and no late ones;
    `left_offset`, the first offset in slices that have left the window.
    """

    __slots__ = (
        "_closed_through", "_config", "_due_ms", "_newest", "_slices", "_wanted", "closed", "head_ms", "heard",
        "left_offset", "num_heard", "speech_ms", "tally", "watermark_arrived_ms", "watermark_ms",
    )  # fmt: skip

    def __init__(
        self, config: WindowConfig, closed_through: int = -1, wanted: Callable[[int], bool] = lambda _: True
    ) -> None:
        """wanted: whether the text of segment `index` may be needed, else it is "". Called when the segment closes."""
        self._config = config
        self._wanted = wanted
        self._slices: dict[int, Slice] = {}
        self._newest = -HELD_SLICES  # index of the watermark's slice
        self._closed_through = closed_through  # segments up to here are closed, empty ones too
        self.head_ms = 0  # newest append time
        self._due_ms = NEVER_MS  # before this append time nothing can have expired
        self.watermark_ms = 0  # newest event time of a message
        self.speech_ms = 0  # newest event time of a transcript
        self.watermark_arrived_ms = 0  # append time of the message with that event time
        self.closed: list[ClosedSegment] = []
        self.tally: dict[int, int] = {}
        self.heard: dict[int, int] = {}
        self.left_offset = NO_OFFSET
        self.num_heard = 0  # messages that count in a rate, since construction

    def add(self, viewer: str | None, text: str, at_ms: int, offset: int, appended_ms: int) -> Outcome:
        """Adds one message: APPLIED, LATE or DUPLICATE."""
        counts = [0] * len(Outcome)
        self.add_all([(viewer, text, at_ms, offset, appended_ms)], counts)
        return (
            Outcome.LATE
            if counts[Outcome.LATE]
            else Outcome.DUPLICATE
            if counts[Outcome.DUPLICATE]
            else Outcome.APPLIED
        )

    def add_all(self, lines: Sequence[ChatLine], counts: list[int]) -> None:  # noqa: PLR0912  hot: no calls
        """Adds messages and transcripts; counts those that are LATE or DUPLICATE in `counts`, indexed by Outcome.

        Offsets rise; an append time that falls counts as the newest. An event time ahead of its append time counts as
        the append time. Otherwise one viewer whose clock is a minute ahead would make the rest of the chat late.
        """
        if not self._config.speech_share:
            lines = [line for line in lines if line[0] is not None]
        config, head_ms, due_ms, watermark_ms = self._config, self.head_ms, self._due_ms, self.watermark_ms
        arrived_ms = self.watermark_arrived_ms
        num_recognised, message_chars = config.recognised_per_slice, config.message_chars
        oldest = self._newest - HELD_SLICES
        since = 0  # messages of `held` that are in the tally already
        unheard = 0  # messages not yet in the tally that do not count in a rate
        held: Slice | None = None  # slice of the last message
        current = NO_SLICE  # its index
        for viewer, text, at_ms, offset, appended_ms in lines:
            if appended_ms > head_ms:
                head_ms = appended_ms
                if head_ms > due_ms:
                    self._count(current, held, since, unheard)
                    self.expire(head_ms)
                    due_ms, current, held = self._due_ms, NO_SLICE, None
            key = hash((viewer, at_ms, text))
            if at_ms > head_ms:  # noqa: PLR1730  min() costs 60 ns a message
                at_ms = head_ms  # noqa: PLW2901
            index = at_ms // SLICE_MS
            if index != current:
                if index <= oldest:
                    counts[Outcome.LATE] += 1
                    if viewer is not None:
                        self.tally[index] = self.tally.get(index, 0) + 1
                    continue
                self._count(current, held, since, unheard)
                held, current = self._slice(index, offset, head_ms), index
                since, unheard = held.messages, 0
                due_ms, oldest = self._due_ms, self._newest - HELD_SLICES
                recognised, noted, chatters = held.recognised, held.noted, held.chatters
            if key in recognised:
                counts[Outcome.DUPLICATE] += 1
                continue
            if len(recognised) < num_recognised:
                recognised.add(key)
            if viewer is None:
                self._hear(held, text, at_ms, head_ms)
                continue
            if viewer in chatters or len(chatters) >= num_recognised:
                unheard += not held.hears(viewer)  # type: ignore[union-attr]  # `held` is set, now or before
            else:
                chatters.add(viewer)
            held.last_appended_ms = head_ms  # type: ignore[union-attr]
            noted.append((viewer, text if len(text) <= message_chars else beginning(text, message_chars), at_ms))
            if at_ms > watermark_ms:
                watermark_ms, arrived_ms = at_ms, head_ms
        self._count(current, held, since, unheard)
        self.head_ms, self.watermark_ms, self.watermark_arrived_ms = head_ms, watermark_ms, arrived_ms

    def _count(self, index: int, held: Slice | None, since: int, unheard: int) -> None:
        """Adds a slice's messages after the first `since` to the tally, and all of these but `unheard` to the rate."""
        arrived = held.messages - since if held is not None else 0
        if arrived:
            self.tally[index] = self.tally.get(index, 0) + arrived
            self.heard[index] = self.heard.get(index, 0) + arrived - unheard
            self.num_heard += arrived - unheard

    def _hear(self, held: Slice | None, text: str, at_ms: int, head_ms: int) -> None:
        """Puts what the streamer said into a slice."""
        assert held is not None
        held.say(beginning(text, self._config.speech_chars), at_ms)
        held.last_appended_ms = head_ms
        self.speech_ms = max(self.speech_ms, at_ms)

    def _slice(self, index: int, offset: int, head_ms: int) -> Slice:
        """Returns the slice of a message that is not late; a new one moves the window if it is the newest."""
        held, config = self._slices.get(index), self._config
        if held is None:
            held = self._slices[index] = Slice(offset, config.viewers_per_slice, config.texts_per_slice)
            self._due_ms = min(self._due_ms, head_ms + config.idle_close_s * 1_000)
            if index > self._newest:
                self._advance(index)
        elif len(held.noted) >= NOTED_MESSAGES:
            held.sketch()
        return held

    def resume(self, watermark_ms: int, speech_ms: int) -> None:
        """Moves on to the newest times before a restart: the record that set one may not have been read again."""
        self.watermark_ms = max(self.watermark_ms, watermark_ms)
        newest = max(watermark_ms, speech_ms) // SLICE_MS
        if newest > self._newest:
            self._advance(newest)

    def _advance(self, newest: int) -> None:
        """Closes segments that the watermark has passed, and drops slices that have left the window."""
        self._newest = newest
        self._close((newest - self._config.lateness_s * 1_000 // SLICE_MS) // SEGMENT_SLICES - 1)
        for index in [index for index in self._slices if index <= newest - HELD_SLICES]:
            self.left_offset = min(self.left_offset, self._slices.pop(index).first_offset)

    def expire(self, head_ms: int, *, forget: bool = True) -> None:
        """Closes segments idle for idle_close_s; with `forget`, drops closed slices idle for keep_s. Idempotent.

        head_ms: append time of the newest record of the partition, of any room.
        """
        idle_ms, keep_ms = self._config.idle_close_s * 1_000, self._config.keep_s * 1_000
        last_appended_ms: dict[int, int] = {}  # of open segments
        for index, held in self._slices.items():
            segment = index // SEGMENT_SLICES
            if segment > self._closed_through:
                last_appended_ms[segment] = max(last_appended_ms.get(segment, 0), held.last_appended_ms)
        idle = [segment for segment, last_ms in last_appended_ms.items() if last_ms + idle_ms < head_ms]
        if idle:
            self._close(max(idle))
        due_ms = NEVER_MS
        for index, held in list(self._slices.items()):
            segment = index // SEGMENT_SLICES
            if segment > self._closed_through:
                due_ms = min(due_ms, last_appended_ms[segment] + idle_ms)
            elif forget and held.last_appended_ms + keep_ms < head_ms:
                del self._slices[index]
            else:
                due_ms = min(due_ms, held.last_appended_ms + keep_ms)
        self._due_ms = due_ms

    def _close(self, through: int) -> None:
        """Closes every open segment up to and including `through`, in order."""
        if through <= self._closed_through:
            return
        slices: dict[int, list[int]] = {}
        for index in self._slices:
            if self._closed_through < index // SEGMENT_SLICES <= through:
                slices.setdefault(index // SEGMENT_SLICES, []).append(index)
        for segment, indices in sorted(slices.items()):
            text = self._text(indices, self._config.text_chars) if self._wanted(segment) else ""
            first_offset = min(self._slices[index].first_offset for index in indices)
            self.closed.append(ClosedSegment(segment, text, text_hash(text), first_offset))
        self._closed_through = through

    @property
    def due_ms(self) -> int:
        """Append time up to which `expire` would do nothing."""
        return self._due_ms

    def text(self, *, short: bool = False) -> str:
        """Text of the last 30 s up to the watermark; "" where there is none. short: a shorter one."""
        indices = (index for index in self._slices if index > self._newest - SEGMENT_SLICES)
        return self._text(indices, self._config.short_chars if short else self._config.text_chars)

    def _text(self, indices: Iterable[int], max_chars: int) -> str:
        config = self._config
        held = [self._slices[index] for index in sorted(indices, reverse=True)]
        speech = [one for each in held if each.speech for one in each.newest_speech()]
        if not speech:
            return self._chat_text(held, max_chars)
        chat = partial(self._chat_text, held)
        return build_mixed_text(chat, speech, config.speech_share, max_chars, config.speech_chars)

    def _chat_text(self, held: Sequence[Slice], max_chars: int) -> str:
        config = self._config
        said = [said for each in held for said in each.noted]
        if len(said) <= min(FEW_MESSAGES, config.texts_per_slice) and not any(each.sketched for each in held):
            text = join_few(said, max_chars, config.message_chars)
            if text is not None:
                return text
        slices = [each.newest_first() for each in held]
        return build_chat_text(slices, max_chars, config.message_chars)

    def statistics(self) -> ChatStatistics:
        """Counts up to the watermark."""
        oldest = self._newest - SEGMENT_SLICES
        now: list[Slice] = []
        previous = 0
        for index, held in self._slices.items():
            if index > oldest:
                now.append(held)
            else:
                previous += held.messages
        return ChatStatistics(sum([held.messages for held in now]), self._chatters(now), previous)

    def _chatters(self, slices: Sequence[Slice]) -> int:
        """Number of distinct viewers; few are counted without a sketch, with the same result."""
        viewers: set[str] = set()
        for held in slices:
            few = held.few_viewers()
            if few is None:
                return DistinctViewers.count([held.sketch()[0] for held in slices], self._config.viewers_per_slice)
            viewers |= few
        return len(viewers)

    def retained_offset(self, head_ms: int, *, everything: bool) -> int | None:
        """First offset from which a restart must read to rebuild the slices that the next message would find here.

        everything: also slices that the next message would drop, because their text is still to be encoded.
        """
        keep_ms = self._config.keep_s * 1_000
        for index, held in self._slices.items():  # in order of creation, and so of offsets
            closed = index // SEGMENT_SLICES <= self._closed_through
            if everything or not closed or held.last_appended_ms + keep_ms >= head_ms:
                return held.first_offset
        return None
