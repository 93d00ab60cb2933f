"""The rooms of one partition: their aggregates, their unpublished changes, and how far the log was read.

Never encodes, never commits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from streaming.errors import RecordError
from streaming.events import MAX_AHEAD_MS, MIN_AT_MS, Outcome, RoomEnded, RoomId, RoomState
from streaming.log.codec import Decoder, encode
from streaming.log.dead_letter import DeadLetters
from streaming.log.log import Log, Partition, Record, Sink
from streaming.log.misplaced_records import MisplacedRecords
from streaming.log.partitioner import partition_of
from streaming.log.position_note import Once
from streaming.log.restore import ReadAhead, last_states
from streaming.log.topics import CHAT, ROOM_ACTIVITY, ROOM_STATES, ROOMS
from streaming.room.room import RoomAggregate
from streaming.room.vectors import with_numbers_only
from streaming.room.window import ChatLine
from streaming.room.window_config import WindowConfig
from streaming.time_unit import misplaced
from streaming.troubles import Skipped

LOGGER = logging.getLogger(__name__)

# Each input topic with the fields of a room state that are its offsets, in the order of RoomState.inputs
INPUTS = {ROOMS: ("rooms_offset",), CHAT: ("chat_offset", "vector_offset"), ROOM_ACTIVITY: ("activity_offset",)}


class InHand:
    """What of a room is in hand at one encoder.

    unseen: messages since the last text was taken, a few of each chatter. refused: by purpose, the last text whose
    vector was not of numbers.
    """

    __slots__ = ("refused", "segment_in_flight", "title_in_flight", "unseen")

    def __init__(self) -> None:
        self.unseen = 0
        self.title_in_flight = False
        self.segment_in_flight = False
        self.refused: dict[str, str] = {}


class RoomEntry:
    """A room in a worker's memory. gone: dropped or moved away; vectors that come back for it are ignored.

    in_hand: at the encoder in use, and at the one to come.
    """

    __slots__ = ("aggregate", "audience", "gone", "in_hand", "key", "lines", "partition")

    def __init__(self, aggregate: RoomAggregate, key: bytes, partition: int) -> None:
        self.aggregate = aggregate
        self.key = key
        self.partition = partition  # index of the partition
        self.audience = 0
        self.lines: list[ChatLine] = []  # chat of the batch that is being applied
        self.gone = False
        self.in_hand = (InHand(), InHand())


class Tally:
    """Outcomes of the records of a batch, summed for the metrics."""

    __slots__ = ("applied", "ends_ahead", "outcomes")

    def __init__(self) -> None:
        self.ends_ahead = 0  # ends with a clock over a minute fast, believed as of their arrival
        self.applied = {ROOMS: 0, CHAT: 0, ROOM_ACTIVITY: 0}
        self.outcomes = {topic: [0] * len(Outcome) for topic in self.applied}


class RoomPartition:
    """The rooms of partition `index` of rooms, chat, room-activity and room-states."""

    def __init__(
        self,
        index: int,
        window: WindowConfig,
        letters: DeadLetters,
        *,
        once: Once | None = None,
        foreign: MisplacedRecords | None = None,
        partitions: int = 0,
        inputs: tuple[int, ...] = (),
    ) -> None:
        """once: what was set aside before. foreign, partitions: where records go whose keys belong elsewhere.

        Without `foreign` every key counts as this partition's. inputs: the makings of the input topics, whose offsets
        these are.
        """
        self.index = index
        self.once = once or Once({})
        self.first_offset: dict[str, int] = {}  # the first that was read, of each input topic
        self.anew: set[str] = set()  # input topics that begin anew, as `restore` found
        self._misplaced = foreign
        self._partitions = partitions
        self._inputs = inputs
        self.rooms: dict[str, RoomEntry] = {}
        self.touched: dict[RoomEntry, int] = {}  # since the last clear, by room: new messages as rates count them
        self.head_ms = 0  # newest append time of chat
        self.vectors_refused = 0  # of states that were read back
        self.next_offset: dict[str, int] = {}  # of each input topic, once a record was read
        self._window = window
        self._letters = letters
        self._decode_state = Decoder(ROOM_STATES)
        self._decoders = {topic: Decoder(topic) for topic in (ROOMS, CHAT, ROOM_ACTIVITY)}

    def restore(self, log: Log, ends: Mapping[Partition, int], ahead: ReadAhead | None = None) -> None:
        """Rebuilds the rooms from room-states; those whose keys belong elsewhere now are left to their new owner.

        ends: of this partition of the input topics. ahead: states that were read before. Where an input topic begins
        anew, it is noted in `anew`, and the states' offsets of it are forgotten. Raises LogUnavailable, Unreadable.
        """
        published = last_states(log, Partition(ROOM_STATES, self.index), self._letters.lost_of_states, ahead)
        found = [
            (key, state)
            for key, value in published.items()
            if self._home_of(key) == self.index and (state := self._readable(value)) is not None
        ]
        states = self._started_over([state for _, state in found], ends)
        for (key, before), state in zip(found, states, strict=True):
            entry = self._take(key, state)
            if state is not before:  # the offsets on the log must not be met again
                entry.aggregate.mark_changed()
                self.touched[entry] = 0

    def adopt(self, key: bytes, value: bytes, now_ms: int, sink: Sink) -> bool:
        """Takes in a room whose key belonged to another partition; False where this partition has the room already.

        Its state is published here in the transaction in which it is removed there.
        """
        state = self._readable(value)
        if state is None:
            return False
        entry = self.rooms.get(state.room)
        if entry is not None:
            if (
                entry.aggregate.started
            ):  # an owner who did not know yet published it there once more: publish it here too
                entry.aggregate.mark_changed()
                self.touched.setdefault(entry, 0)
                return False
            self.drop(entry)
        nothing = {"rooms_offset": -1, "chat_offset": -1, "vector_offset": -1, "activity_offset": -1}
        entry = self._take(key, msgspec.structs.replace(state, **nothing))
        self.publish(entry, sink, max(now_ms, state.published_ms + 1))
        self.touched[entry] = 0
        return True

    def _readable(self, value: bytes) -> RoomState | None:
        try:
            state: RoomState = self._decode_state(value)
        except RecordError as err:
            LOGGER.warning("room-states partition %d: a state is not readable: %s", self.index, err)
            return None
        return state

    def _take(self, key: bytes, state: RoomState) -> RoomEntry:
        aggregate = RoomAggregate(state.room, self._window)
        aggregate.inputs = self._inputs
        aggregate.restore(state)
        self.vectors_refused += with_numbers_only(state) is not state
        entry = self.rooms[state.room] = RoomEntry(aggregate, key, self.index)
        entry.audience = max(0, state.entered - state.left)
        return entry

    def _started_over(self, states: Sequence[RoomState], ends: Mapping[Partition, int]) -> list[RoomState]:
        """The states without offsets that belong to another making of their topic, or lie behind its end."""
        forgotten: dict[str, set[int]] = {}  # places of states whose offset says nothing
        for place, (topic, names) in enumerate(INPUTS.items()):
            now = self._inputs[place] if self._inputs else 0  # 0: the log cannot tell
            of_other = {n for n, s in enumerate(states) if now and s.inputs and s.inputs[place] not in (0, now)}
            end = ends.get(Partition(topic, self.index), 1 << 62)
            behind = any(getattr(s, names[0]) >= end for n, s in enumerate(states) if n not in of_other)
            if of_other or behind:
                self.anew.add(topic)
                forgotten[topic] = set(range(len(states))) if behind else of_other
        found: list[RoomState] = []
        for n, state in enumerate(states):
            fields = [name for topic, places in forgotten.items() if n in places for name in INPUTS[topic]]
            found.append(msgspec.structs.replace(state, **dict.fromkeys(fields, -1)) if fields else state)
        return found

    def _home_of(self, key: bytes) -> int:
        return self.index if self._misplaced is None else partition_of(key, self._partitions)

    def apply(self, topic: str, records: Sequence[Record], tally: Tally) -> None:
        """Applies records of one input topic, in offset order."""
        tally.applied[topic] += len(records)
        self.first_offset.setdefault(topic, records[0].offset)
        outcomes = tally.outcomes[topic]
        if topic == CHAT:
            self._apply_chat(records, outcomes)
        elif topic == ROOMS:
            self._apply_rooms(records, outcomes, tally)
        else:
            self._apply_activity(records, outcomes)
        self.next_offset[topic] = records[-1].offset + 1

    def pass_over(self, skipped: Skipped) -> None:
        """Notes that offsets of an input topic are lost."""
        self._letters.lost(skipped)
        self.first_offset.setdefault(skipped.topic, skipped.first)
        self.next_offset[skipped.topic] = max(self.next_offset.get(skipped.topic, 0), skipped.last + 1)

    def _apply_chat(self, records: Sequence[Record], outcomes: list[int]) -> None:
        rooms, touched = self.rooms, self.touched
        spoken: list[RoomEntry] = []
        appended_ms, least_ms, ahead_ms = self.head_ms, MIN_AT_MS, MAX_AHEAD_MS
        for record, message in self._letters.decoded(records, self._decoders[CHAT]):  # hot: no calls
            appended_ms = record.timestamp
            entry = rooms.get(message.room)
            at_ms = message.at_ms
            if entry is None or record.key != entry.key or not least_ms <= at_ms <= appended_ms + ahead_ms:
                entry = self._admitted(record, message)
                if entry is None:
                    continue
            lines = entry.lines
            if not lines:
                spoken.append(entry)
            lines.append((message.viewer, message.text, at_ms, record.offset, appended_ms))
        for entry in spoken:
            aggregate = entry.aggregate
            before = aggregate.num_heard
            aggregate.apply_chats(entry.lines, outcomes)
            touched[entry] = touched.get(entry, 0) + aggregate.num_heard - before
            entry.lines.clear()
        self.head_ms = max(self.head_ms, appended_ms)

    def _apply_rooms(self, records: Sequence[Record], outcomes: list[int], tally: Tally) -> None:
        decode = self._decoders[ROOMS]
        for record in records:
            if record.value is None:  # a producer tidies its compacted topic: no news of the room's life
                continue
            try:
                event, mends = decode.read(record.value)
            except RecordError as err:
                self._letters.refuse(record, err)
                continue
            if mends:
                self._letters.note_mended(record, mends)
            entry = self._admitted(record, event)
            if entry is not None:
                tally.ends_ahead += event.at_ms > record.timestamp + MAX_AHEAD_MS and not mends
                outcomes[entry.aggregate.apply_lifecycle(event, record.offset, record.timestamp)] += 1
                self.touched.setdefault(entry, 0)

    def _apply_activity(self, records: Sequence[Record], outcomes: list[int]) -> None:
        decode = self._decoders[ROOM_ACTIVITY]
        for record in records:
            try:
                activity = decode(record.value or b"")
            except RecordError as err:
                self._letters.refuse(record, err)
                continue
            entry = self.rooms.get(activity.room)
            if entry is None:
                if self._is_foreign(record, activity.room):
                    continue
                entry = self._hold(activity.room)
            outcome = entry.aggregate.apply_activity(activity, record.offset, record.timestamp)
            outcomes[outcome] += 1
            if outcome is not Outcome.REPLAYED:
                entry.audience = max(0, entry.audience + activity.entered - activity.left)
            self.touched.setdefault(entry, 0)

    def _admitted(self, record: Record, event: Any) -> RoomEntry | None:
        """The room of a record, kept from now on; None where the record is refused or belongs elsewhere."""
        if record.key != event.room.encode():
            self._letters.refuse(record, f"the record's key must be its room, {event.room!r}, as UTF-8")
            return None
        complaint = misplaced(event.at_ms, record.timestamp)
        if complaint and not isinstance(event, RoomEnded):  # an end is believed whatever its clock says
            self._letters.refuse(record, complaint)
            return None
        entry = self.rooms.get(event.room)
        if entry is not None:
            return entry
        return None if self._is_foreign(record, event.room) else self._hold(event.room)

    def _is_foreign(self, record: Record, room: str) -> bool:
        """Whether a record's room belongs to another partition. If so, the record is forwarded there."""
        key = room.encode()
        if self._misplaced is None or partition_of(key, self._partitions) == self.index:
            return False
        self._misplaced.forward(record, key, self._partitions, self.once)
        return True

    def _hold(self, room: str) -> RoomEntry:
        aggregate = RoomAggregate(RoomId(room), self._window)
        aggregate.inputs = self._inputs
        entry = self.rooms[room] = RoomEntry(aggregate, room.encode(), self.index)
        return entry

    def drop(self, entry: RoomEntry) -> None:
        """Forgets a room."""
        entry.gone = True
        self.rooms.pop(entry.aggregate.room, None)

    def publish(self, entry: RoomEntry, sink: Sink, now_ms: int) -> bool:
        """Sends the room's state; False where it has none yet."""
        state = entry.aggregate.state(now_ms)
        if state is None:
            return False
        # to this very partition, whatever partitioner a producer uses: a restart reads it here
        sink.send(ROOM_STATES, entry.key, encode(state), self.index)
        entry.aggregate.mark_published()
        return True

    def bury(self, entry: RoomEntry, sink: Sink) -> None:
        """Sends a tombstone and forgets the room."""
        sink.send(ROOM_STATES, entry.key, None, self.index)
        self.drop(entry)

    def positions(self) -> Mapping[Partition, int]:
        """Offsets from which a restart must read on: the next, or earlier where records are unpublished. O(rooms)."""
        held_back = dict(self.next_offset)
        for topic, offset in self._needed():
            if topic in held_back and offset < held_back[topic]:
                held_back[topic] = offset
        return {Partition(topic, self.index): offset for topic, offset in held_back.items()}

    def _needed(self) -> Iterator[tuple[str, int]]:
        head_ms = self.head_ms
        for entry in self.rooms.values():
            aggregate = entry.aggregate
            chat = aggregate.retained_offset(head_ms)
            if chat is not None:
                yield CHAT, chat
            if aggregate.unpublished_rooms_offset is not None:
                yield ROOMS, aggregate.unpublished_rooms_offset
            if aggregate.unpublished_activity_offset is not None:
                yield ROOM_ACTIVITY, aggregate.unpublished_activity_offset
