"""The viewers of one partition: few as aggregates, all as serialised profiles. Never commits."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import msgspec

from actors.profiles.profile_map import ProfileMap
from streaming.errors import RecordError
from streaming.event_clock import RECORDED_EVENTS, EventClock
from streaming.events import MAX_AHEAD_MS, MIN_AT_MS, Outcome, ViewerErased, ViewerId
from streaming.log.codec import Decoder, encode
from streaming.log.dead_letter import DeadLetters
from streaming.log.log import Log, Partition, Record, Sink
from streaming.log.misplaced_records import MisplacedRecords
from streaming.log.partitioner import partition_of
from streaming.log.position_note import Once
from streaming.log.restore import Restored, read_states
from streaming.log.topics import ROOM_ACTIVITY, VIEWER_EVENTS, VIEWER_PROFILES
from streaming.room.activity import ActivityBook
from streaming.time_unit import misplaced
from streaming.troubles import Skipped
from streaming.viewer.presence import LATE_MS, Deadlines, is_erased, presence_of
from streaming.viewer.profile import ERASURE_KEPT_MS, ProfileAggregate
from streaming.viewer.profile_config import ProfileConfig

LOGGER = logging.getLogger(__name__)
DAY_MS = 86_400_000
ROUND_MS = 3_600_000  # between looks at a profile for `expire`: a day more or less is the same


class ProfilePartition:
    """The viewers of partition `index` of viewer-events and viewer-profiles."""

    def __init__(
        self,
        index: int,
        config: ProfileConfig,
        letters: DeadLetters,
        max_aggregates: int,
        profiles: ProfileMap,
        *,
        clock: EventClock | None = None,
        once: Once | None = None,
        foreign: MisplacedRecords | None = None,
        partitions: int = 0,
    ) -> None:
        """profiles: where they are kept. clock: event time, shared by partitions, for a replay goes to all of them.

        once: what was set aside, and reported to rooms, before. foreign, partitions: where records go whose keys
        belong elsewhere; without `foreign` every key counts as this partition's.
        """
        self.index = index
        self._misplaced = foreign
        self._partitions = partitions
        self._once = once or Once({})
        self._reported_before = self._once.read.get(
            VIEWER_EVENTS, 0
        )  # events before this offset were reported to rooms
        self.changed: dict[bytes, ProfileAggregate] = {}  # by their records' keys, since the last publish
        self._config = config
        self._letters = letters
        self._max_aggregates = max_aggregates
        self._book = ActivityBook()  # of this partition alone: both change their owner together
        self._aggregates: OrderedDict[bytes, ProfileAggregate] = OrderedDict()  # least recently touched first
        self.profiles = profiles
        self._deadlines: Deadlines[bytes] = Deadlines()  # of viewers who are in a room
        self._clock = clock or EventClock(RECORDED_EVENTS)
        self._round_ms = 0  # when the look at all profiles for `expire` began
        self._over: list[bytes] = []  # keys whose profiles end with the next publish
        self.erased = 0  # viewers forgotten so far
        self.read_ms = 0  # append time of the last record read
        self._decode_event = Decoder(VIEWER_EVENTS)
        self._decode_profile = Decoder(VIEWER_PROFILES)

    def __len__(self) -> int:
        return len(self.profiles)

    def restore(self, log: Log, found: Restored[ProfileMap]) -> None:
        """Reads the serialised profiles from viewer-profiles; each is decoded at its first use.

        found: this partition's, with what was read before. Those whose keys belong elsewhere now are left to their new
        owner, who alone has them leave their rooms. Raises LogUnavailable, Unreadable, StoreDamaged.
        """
        read_states(log, Partition(VIEWER_PROFILES, self.index), found, self._letters.lost_of_states)
        self.profiles.restored(found.next_offset)
        for key, value in self.profiles.present():
            self._expect(key, value)

    def _expect(self, key: bytes, value: bytes) -> None:
        """Sets the time at which a viewer who is in a room has left it, if nothing is heard until then."""
        try:
            presence = presence_of(value)
        except msgspec.DecodeError:  # it is no profile; that is reported at its first use
            return
        self._clock.note(presence.last_at_ms, presence.appended_ms)
        heard_ms = presence.heard_ms
        if heard_ms is not None:
            self._deadlines.put(key, heard_ms + 1_000 * self._config.presence_timeout_s)

    def adopt(self, key: bytes, value: bytes, sink: Sink) -> bool:
        """Takes in the profile of a key that belonged to another partition; False where there is one already."""
        known = self.profiles.get(key)
        if known is None:
            self.profiles.put(key, value)
            self._expect(key, value)
        sink.send(VIEWER_PROFILES, key, known or value, self.index)  # after anything that another owner published there
        return known is None

    def pass_over(self, skipped: Skipped) -> None:
        """Notes that offsets of the events are lost."""
        self._letters.lost(skipped)

    def apply(self, records: Sequence[Record]) -> int:
        """Applies events in offset order; returns the number of duplicates."""
        self.read_ms = max(self.read_ms, records[-1].timestamp)
        if records[0].offset >= self._reported_before:
            return self._apply(records, self._book)
        reported = next((n for n, one in enumerate(records) if one.offset >= self._reported_before), len(records))
        duplicates = self._apply(records[:reported], ActivityBook())  # rebuilds profiles, reports nothing to rooms
        return duplicates + self._apply(records[reported:], self._book)

    def _apply(self, records: Sequence[Record], book: ActivityBook) -> int:
        aggregates, changed = self._aggregates, self.changed
        duplicates = newest_ms = arrived_ms = 0
        record: Any
        event: Any
        key: Any
        for record, event in self._letters.decoded(records, self._decode_event):  # hot: calls the aggregate only
            key = record.key
            aggregate = changed.get(key)
            known = aggregate or aggregates.get(key)
            wrong = key != event.viewer.encode() if known is None else known.viewer != event.viewer
            at_ms, appended_ms = event.at_ms, record.timestamp
            is_erasure = event.__class__ is ViewerErased  # believed whatever its clock says
            odd = not is_erasure and (at_ms > appended_ms + MAX_AHEAD_MS or at_ms < MIN_AT_MS)
            if (wrong or odd) and self._refused(record, event):
                continue
            if known is None:
                if self._misplaced is not None and not self._is_of_this_partition(key):
                    self._misplaced.forward(record, key, self._partitions, self._once)
                    continue
                known = self._aggregate(key, event.viewer)
            if at_ms > newest_ms:
                newest_ms, arrived_ms = at_ms, appended_ms
            if is_erasure:
                outcome = known.erase(at_ms, appended_ms, book)
                self.erased += outcome is Outcome.APPLIED
            else:
                outcome = known.apply(event, appended_ms, book)
            if outcome is Outcome.DUPLICATE:
                duplicates += 1
            elif aggregate is None:
                changed[key] = known
        if newest_ms:  # not the last: a delayed event says nothing of those before it
            self._clock.note(min(newest_ms, arrived_ms), arrived_ms, len(records))
        return duplicates

    def lapse(self, until_ms: int, most: int) -> int:
        """Makes viewers leave who were silent for too long, at most `most`; returns their number.

        until_ms: a time of the event clock; everything appended before it has been applied.
        """
        now_ms, lapsed = self._clock.now_ms(until_ms), 0
        for key in self._deadlines.take(now_ms, most):
            aggregate = self.changed.get(key) or self._aggregates.get(key)
            present_until_ms = self._packed_until_ms(key) if aggregate is None else aggregate.present_until_ms
            if present_until_ms is None:
                continue
            if present_until_ms + LATE_MS > now_ms:
                self._deadlines.put(key, present_until_ms)
                continue
            aggregate = aggregate or self._aggregate(key, key.decode())
            lapsed += aggregate.lapse(now_ms, self._book)
            self.changed[key] = aggregate
        return lapsed

    def expire(self, until_ms: int, most: int, looked_at: int) -> int:
        """Ends profiles of viewers silent for too long, and marks of erasures; returns their number, at most `most`.

        A call looks at `looked_at` profiles, the next call at the next of them, once round in ROUND_MS.
        until_ms: as for `lapse`, but append times are compared with it.
        """
        profiles, kept_days = self.profiles, self._config.retention_days
        if profiles.is_round_over:
            if until_ms - self._round_ms < ROUND_MS:
                return 0
            self._round_ms = until_ms
            profiles.begin_round()
        silent_until_ms = until_ms - kept_days * DAY_MS if kept_days else -1
        keys = profiles.look(looked_at, silent_until_ms, until_ms - ERASURE_KEPT_MS)
        ended = 0
        for place, key in enumerate(keys):
            value = None if key in self.changed else profiles.peek(key)
            if value is not None and self._is_over(value, until_ms):
                self._over.append(key)
                ended += 1
                if ended == most:
                    profiles.look_again(keys[place + 1 :])
                    break
        return ended

    def _is_over(self, value: bytes, until_ms: int) -> bool:
        try:
            presence = presence_of(value)
        except msgspec.DecodeError:
            return False
        kept_ms = ERASURE_KEPT_MS if presence.is_erased else self._config.retention_days * DAY_MS
        return kept_ms > 0 and presence.room is None and presence.appended_ms + kept_ms <= until_ms

    def _packed_until_ms(self, key: bytes) -> int | None:
        value = self.profiles.get(key)
        heard_ms = None if value is None else presence_of(value).heard_ms
        return None if heard_ms is None else heard_ms + 1_000 * self._config.presence_timeout_s

    def publish(self, sink: Sink) -> int:
        """Sends the changed profiles to this very partition, where a restart reads them; returns their number."""
        aggregates, deadlines, put = self._aggregates, self._deadlines, self.profiles.put
        for key in self._over:
            if key not in self.changed and self.profiles.peek(key) is not None:
                self.profiles.remove(key)
                aggregates.pop(key, None)
                sink.send(VIEWER_PROFILES, key, None, self.index)
        self._over = []
        for key, aggregate in self.changed.items():
            present_until_ms = aggregate.present_until_ms
            if present_until_ms is not None:
                deadlines.put(key, present_until_ms)
            value = aggregate.packed()
            sink.send(VIEWER_PROFILES, key, value, self.index)
            put(key, value)
            aggregates[key] = aggregate
            aggregates.move_to_end(key)
        sent = len(self.changed)
        self.changed = {}
        while len(aggregates) > self._max_aggregates:
            aggregates.popitem(last=False)
        return sent

    def publish_activity(self, sink: Sink) -> int:
        """Sends the activity of rooms that follows from the events; returns the number of records."""
        activities = self._book.drain()
        for activity in activities:
            sink.send(ROOM_ACTIVITY, activity.room.encode(), encode(activity))
        return len(activities)

    def profile(self, viewer: ViewerId) -> bytes | None:
        """A viewer's serialised profile as published, None for a cold-start viewer and a forgotten one.

        Any thread may call it. Raises StoreDamaged.
        """
        key = viewer.encode()
        value = self.profiles.peek(key)
        return None if value is None or is_erased(key, value) else value

    def _is_of_this_partition(self, key: bytes) -> bool:
        return self._misplaced is None or partition_of(key, self._partitions) == self.index

    def _aggregate(self, key: bytes, viewer: str) -> ProfileAggregate:
        aggregate = ProfileAggregate(ViewerId(viewer), self._config)
        value = self.profiles.get(key)
        if value is not None:
            try:
                aggregate.restore(self._decode_profile(value))
            except RecordError as err:  # it is no profile, so there is none to lose
                LOGGER.warning("viewer-profiles partition %d: a profile is not readable: %s", self.index, err)
        self._aggregates[key] = aggregate
        return aggregate

    def _refused(self, record: Record, event: Any) -> bool:
        complaint = misplaced(event.at_ms, record.timestamp)
        if record.key != event.viewer.encode():
            complaint = f"the record's key must be its viewer, {event.viewer!r}, as UTF-8"
        if complaint:
            self._letters.refuse(record, complaint)
        return bool(complaint)
