"""The state of one room, from three aggregates: of its lifecycle, its chat and its activity. Never does I/O.

Each aggregate depends on its own topic's log order only, so a state does not depend on how the topics interleave.
Vectors come from the encoder: a text carries its newest offset and comes back with its vector.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import structs

from streaming.events import (
    ActivityBucket,
    Arrival,
    ChatMessage,
    Outcome,
    RoomActivity,
    RoomDescription,
    RoomEvent,
    RoomId,
    RoomState,
    RoomStatus,
    Speech,
    StreamerId,
)
from streaming.room.activity import ActivityAggregate, is_sign_of_life
from streaming.room.chat import ChatAggregate
from streaming.room.language import guess_language
from streaming.room.lifecycle import Lifecycle
from streaming.room.reading import Reading, Readings, RoomText
from streaming.room.text import build_title_text, text_hash
from streaming.room.vectors import are_numbers, with_numbers_only
from streaming.room.window import ChatLine, ClosedSegment
from streaming.room.window_config import WindowConfig


class RoomCounts(NamedTuple):
    """The counts of a RoomState, under the same names. They cost a fifth of building the whole state."""

    streamer: StreamerId
    started_at_ms: int
    messages: int
    chat_at_ms: int
    entered: int
    newcomers: int
    first_entered: int
    left: int
    recent: tuple[ActivityBucket, ...]
    recent_messages: tuple[int, ...]
    recent_messages_ms: int
    arrivals: tuple[Arrival, ...]


class RoomAggregate:
    """Aggregate of one room.

    Apply each topic in offset order. After `restore(state)` read each topic again from the position held back by
    `retained_offset`, `unpublished_rooms_offset` and `unpublished_activity_offset`; the result is that of a run that
    never stopped. Any later sign of life undoes a presumed end; only a later start undoes a reported one.
    """

    __slots__ = (
        "_activity", "_changed", "_chat", "_config", "_life", "_presumed_ms", "_readings", "_title_language",
        "_title_text", "alive_ms", "inputs", "room", "unpublished_activity_offset", "unpublished_rooms_offset",
    )  # fmt: skip

    def __init__(self, room: RoomId, config: WindowConfig) -> None:
        self.room = room
        self._config = config
        self._life = Lifecycle()
        self._readings = Readings()
        self._chat = ChatAggregate(config, zlib.crc32(room.encode()), self._readings)
        self._activity = ActivityAggregate()
        self._title_text: RoomText | None = None  # that of the description in force
        self._title_language = ""  # a guess
        self._presumed_ms = -1  # presumed ended while the last sign of life is this one
        self.alive_ms = 0  # append time of the newest sign of life: any record but those of viewers' silence
        self.unpublished_rooms_offset: int | None = None  # first lifecycle record that is in no published state
        self.unpublished_activity_offset: int | None = None
        self.inputs: tuple[int, ...] = ()  # makings and partitions of its offsets, to compare states
        self._changed = False

    # records

    def apply_lifecycle(self, event: RoomEvent, offset: int, appended_ms: int) -> Outcome:
        """Applies a lifecycle record. Outcomes are those of `Lifecycle.apply`."""
        if event.at_ms > appended_ms:  # no event happens after it arrived: a fast clock must not win over a right one
            event = structs.replace(event, at_ms=appended_ms)
        outcome = self._life.apply(event, offset, appended_ms)
        if outcome is Outcome.REPLAYED:
            return outcome
        if self.unpublished_rooms_offset is None:
            self.unpublished_rooms_offset = offset
        self.alive_ms = max(self.alive_ms, appended_ms)
        self._changed = True
        self._describe()
        return outcome

    def apply_chat(self, message: ChatMessage | Speech, offset: int, appended_ms: int) -> Outcome:
        """Applies a message or a transcript: APPLIED, LATE, DUPLICATE, REPLAYED.

        ORPHAN before a start, AFTER_END after an end.
        """
        counts = [0] * len(Outcome)
        self.apply_chats([(message.viewer, message.text, message.at_ms, offset, appended_ms)], counts)
        return Outcome(counts.index(1))

    def apply_chats(self, lines: Sequence[ChatLine], counts: list[int]) -> None:
        """Applies messages and transcripts in order of their offsets.

        Adds the outcomes of `apply_chat` to `counts`, by Outcome.
        """
        applied = counts[Outcome.APPLIED]
        if not self._chat.apply(lines, counts):
            return
        self.alive_ms = max(self.alive_ms, self._chat.appended_ms)
        self._changed = True
        instead = Outcome.ORPHAN if self._life.description is None else Outcome.AFTER_END
        if instead is Outcome.ORPHAN or self._life.ended_at_ms:
            counts[instead] += counts[Outcome.APPLIED] - applied
            counts[Outcome.APPLIED] = applied

    def apply_activity(self, activity: RoomActivity, offset: int, appended_ms: int) -> Outcome:
        """Applies a record of activity: APPLIED, REPLAYED, ORPHAN before a start, AFTER_END after an end."""
        if not self._activity.apply(activity, offset, appended_ms):
            return Outcome.REPLAYED
        if self.unpublished_activity_offset is None:
            self.unpublished_activity_offset = offset
        if is_sign_of_life(activity):
            self.alive_ms = max(self.alive_ms, appended_ms)
        self._changed = True
        if self._life.description is None:
            return Outcome.ORPHAN
        return Outcome.AFTER_END if self._life.ended_at_ms else Outcome.APPLIED

    def close_idle(self, head_ms: int) -> None:
        """Closes segments that have become idle. head_ms: newest append time of the chat partition.

        How often this is called changes no result; before `due_ms` it does nothing.
        """
        self._chat.expire(head_ms)

    @property
    def due_ms(self) -> int:
        """Append time up to which `close_idle` does nothing."""
        return self._chat.due_ms

    # life

    @property
    def description(self) -> RoomDescription | None:
        """The description in force; None before the first."""
        return self._life.description

    @property
    def started(self) -> bool:
        """Whether the room was ever described. Before, it is an orphan: it has counts and no state."""
        return self._life.description is not None

    @property
    def status(self) -> RoomStatus:
        """The room's status: live, ended by a record, or presumed ended."""
        if self._life.ended_at_ms:
            return "ended"
        return "presumed_ended" if self._presumed_ms == self.alive_ms else "live"

    def presume_ended(self) -> None:
        """Presumes the room ended until its next sign of life. The owner decides when, by append times."""
        if self.status == "live":
            self._presumed_ms = self.alive_ms
            self._changed = True

    # encoders

    @property
    def encoder_version(self) -> str:
        """The encoder whose vectors are in front, "" before the first."""
        return self._readings.front.encoder_version

    def read_by(self, encoder_version: str) -> None:
        """Puts an encoder's vectors in front. Those of another are kept as the second ones, as they are now."""
        if self._readings.put_in_front(encoder_version):
            self._chat.note_encoders()

    def read_also_by(self, encoder_version: str) -> None:
        """Has a second encoder read the room as well, unless its vectors are those in front."""
        self._readings.put_second(encoder_version)
        self._chat.note_encoders()

    def rest_second(self) -> None:
        """Has the second encoder read no more. Its vectors stay as they are."""
        self._readings.second_reads = False
        self._chat.note_encoders()

    def drop_second(self) -> bool:
        """Drops the vectors of the second encoder. False where there is none."""
        if not self._readings.drop_second():
            return False
        self._chat.note_encoders()
        self._changed = True
        return True

    def is_read_by(self, encoder_version: str) -> bool:
        """Whether the room has a vector of an encoder, or the encoder found nothing in it to read."""
        reading = self._readings.of(encoder_version)
        return reading is not None and self._is_read(reading)

    def _is_read(self, reading: Reading) -> bool:
        if reading.has_vectors:
            return True
        has_title = self._title_text is not None and self._title_text.hash != reading.title_hash
        return not has_title and not self._chat.is_pending(reading)

    # texts and vectors: of the encoder with this version, "" for the one in front

    def title_text(self, encoder_version: str = "") -> RoomText | None:
        """Text of title, category and tags, to be encoded at once; None where its vector is up to date."""
        text, reading = self._title_text, self._readings.of(encoder_version)
        return text if text is not None and reading is not None and text.hash != reading.title_hash else None

    def set_title_vector(self, text: RoomText, vector: bytes, encoder_version: str) -> bool:
        """Takes the vector of a title; not finite counts as none. False where the description has changed."""
        reading = self._made_by(encoder_version)
        if self._title_text is None or text.hash != self._title_text.hash:
            return False
        reading.title_vector, reading.title_hash = _of_numbers(vector), text.hash
        self._changed = True
        return True

    def chat_text(self, encoder_version: str = "", *, short: bool = False) -> RoomText | None:
        """Text of the chat's last 30 s, to be encoded; None where its vector is up to date or would not change.

        short: only a part of it. The whole text is still wanted when its vector has come.
        """
        reading = self._readings.of(encoder_version)
        if reading is None:
            return None
        return self._chat.short_text(reading) if short else self._chat.text(reading)

    def has_unread_chat(self, encoder_version: str = "") -> bool:
        """Whether there is chat newer than the chat vector; `chat_text` is not None where that changes the text."""
        reading = self._readings.of(encoder_version)
        return reading is not None and self._chat.is_pending(reading)

    @property
    def num_heard(self) -> int:
        """Messages since construction that count in a rate: at most a few of each chatter in 5 s."""
        return self._chat.num_heard

    def set_chat_vector(self, text: RoomText, vector: bytes, encoder_version: str) -> bool:
        """Takes the vector of a text of `chat_text`; not finite counts as none. False where there is a newer one."""
        taken = self._chat.set_vector(self._made_by(encoder_version), text, _of_numbers(vector))
        self._changed = self._changed or taken
        return taken

    def closed_segments(self, encoder_version: str = "") -> list[ClosedSegment]:
        """Closed segments whose vectors the slow mean waits for, oldest first. They stay until added or skipped."""
        reading = self._readings.of(encoder_version)
        return [] if reading is None else self._chat.closed_segments(reading)

    def add_segment(self, index: int, vector: bytes, encoder_version: str) -> bool:
        """Takes a segment's vector into the slow mean, in order of the segments, in whatever order vectors come.

        One that is not finite is left out, because it would spoil the mean for good.
        """
        taken = self._chat.settle_segment(self._made_by(encoder_version), index, _of_numbers(vector))
        self._changed = self._changed or taken
        return taken

    def skip_segment(self, index: int, encoder_version: str = "") -> bool:
        """Leaves a segment out of the slow mean, where the encoder has no time for it."""
        reading = self._readings.of(encoder_version)
        taken = reading is not None and self._chat.settle_segment(reading, index, b"")
        self._changed = self._changed or taken
        return taken

    def _made_by(self, encoder_version: str) -> Reading:
        """The reading of the encoder that made a vector; from now on in front, if nobody has named it before."""
        reading = self._readings.of(encoder_version) if encoder_version else None
        if reading is not None:
            return reading
        self.read_by(encoder_version)
        self._changed = True
        return self._readings.front

    def take_segments_skipped(self) -> int:
        """Number of segments dropped since the last call because too many waited, without those of `skip_segment`."""
        skipped, self._chat.segments_skipped = self._chat.segments_skipped, 0
        return skipped

    def _describe(self) -> None:
        description = self._life.description
        if description is None:
            return
        text = build_title_text(description.title, description.category, description.tags, self._config.title_chars)
        known = self._title_text
        if known is None or known.text != text:
            self._title_language = guess_language(description.title)
        self._title_text = RoomText(
            text, text_hash(text), self._life.offset, self._life.described_at_ms, self._life.appended_ms
        )
        if not text:
            for reading in (self._readings.front, self._readings.second):
                if reading is not None:
                    reading.forget_title()

    # state

    def counts(self) -> RoomCounts | None:
        """The counts among the fields of `state`; None before the room's start."""
        life, chat, sums = self._life, self._chat, self._activity.sums
        if life.description is None:
            return None
        return RoomCounts(
            streamer=StreamerId(life.description.streamer),
            started_at_ms=life.started_at_ms,
            messages=chat.messages,
            chat_at_ms=chat.at_ms,
            entered=sums.entered,
            newcomers=sums.newcomers,
            first_entered=sums.first_entered,
            left=sums.left,
            recent=self._activity.recent(),
            recent_messages=chat.recent.counts(),
            recent_messages_ms=chat.recent.newest_ms,
            arrivals=self._activity.arrivals,
        )

    def state(self, now_ms: int) -> RoomState | None:
        """The room's state, stamped with now_ms; None before its start."""
        life, chat, activity = self._life, self._chat, self._activity
        described = life.description
        if described is None or self._title_text is None:
            return None
        status = self.status
        statistics = chat.statistics()
        language = described.language or chat.language or self._title_language
        front, second = self._readings.front, self._readings.second
        title_hash, described_ms = self._title_text.hash, life.appended_ms
        sums = activity.sums
        return RoomState(
            room=self.room,
            streamer=StreamerId(described.streamer),
            status=status,
            title=described.title,
            category=described.category,
            language=language,
            tags=tuple(described.tags),
            mature=described.mature,
            started_at_ms=life.started_at_ms,
            described_at_ms=life.described_at_ms,
            ended_at_ms=self.alive_ms if status == "presumed_ended" else life.ended_at_ms,
            messages=chat.messages,
            window_messages=statistics.messages,
            window_chatters=statistics.chatters,
            previous_messages=statistics.previous,
            chat_at_ms=chat.at_ms,
            speech_at_ms=chat.speech_at_ms,
            entered=sums.entered,
            newcomers=sums.newcomers,
            left=sums.left,
            watch_ms=sums.watch_ms,
            likes=sums.likes,
            gifts=sums.gifts,
            follows=sums.follows,
            recent=activity.recent(),
            title_vector=front.title_vector,
            chat_vector=front.chat_vector,
            mean_vector=front.mean_vector,
            mean_segment=chat.mean_segment,
            segment_end_ms=front.segment_end_ms,
            title_hash=front.title_hash,
            chat_hash=front.chat_hash,
            encoder_version=front.encoder_version,
            rooms_offset=life.offset,
            chat_offset=chat.offset,
            vector_offset=front.vector_offset,
            activity_offset=activity.offset,
            alive_ms=self.alive_ms,
            appended_ms=max(front.appended_ms, described_ms if front.title_hash == title_hash else 0),
            published_ms=now_ms,
            language_guessed=not described.language and bool(language),
            described_appended_ms=life.appended_ms,
            chat_language=chat.language,
            recent_messages=chat.recent.counts(),
            recent_messages_ms=chat.recent.newest_ms,
            first_entered=sums.first_entered,
            arrivals=activity.arrivals,
            recent_heard=chat.recent.heard(),
            chat_arrived_ms=chat.arrived_ms,
            entries_arrived_ms=activity.entries_arrived_ms,
            inputs=self.inputs,
            said_ms=life.said_ms,
            other=None
            if second is None or not self._is_read(second)
            else second.published(described_ms if second.title_hash == title_hash else 0),
        )

    # restart

    @property
    def dirty(self) -> bool:
        """Whether anything has changed since the last published state."""
        return self._changed or self._chat.dirty

    def mark_changed(self) -> None:
        """Notes that the published state is out of date."""
        self._changed = True

    def mark_published(self) -> None:
        """Notes that the current state is on the log, or commits together with the positions."""
        self._chat.mark_published()
        self.unpublished_rooms_offset = None
        self.unpublished_activity_offset = None
        self._changed = False

    def retained_offset(self, head_ms: int) -> int | None:
        """Chat offset from which a restart must read again; None where it needs nothing that was read.

        head_ms: newest append time of the chat partition, of any room.
        """
        return self._chat.retained_offset(head_ms)

    def restore(self, state: RoomState) -> None:
        """Continues from a published state, without vectors that are not finite. Only for a new instance.

        The owner sets `inputs`.
        """
        state = with_numbers_only(state)
        self._life.restore(state)
        self._readings.restore(state)
        self._chat.restore(state)
        self._activity.restore(state)
        self.alive_ms = state.alive_ms
        if state.status == "presumed_ended":
            self._presumed_ms = state.alive_ms
        self._describe()


def _of_numbers(vector: bytes) -> bytes:
    return vector if are_numbers(vector) else b""
