"""Owns the viewers of one partition: few as folds, the rest as the bytes of their profiles. Never commits."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from streaming.activity import ActivityBook
from streaming.codec import Decoder, encode
from streaming.dead_letter import DeadLetters
from streaming.errors import RecordError
from streaming.events import ViewerId
from streaming.log import Log, Partition, Record, Sink
from streaming.outcome import MAX_AHEAD_MS, Outcome
from streaming.profile import ProfileFold
from streaming.profile_config import ProfileConfig
from streaming.restore import last_values
from streaming.topics import ROOM_ACTIVITY, VIEWER_EVENTS, VIEWER_PROFILES

LOGGER = logging.getLogger(__name__)


class ProfilePartition:
    """The viewers of partition `index` of viewer-events and viewer-profiles."""

    def __init__(self, index: int, config: ProfileConfig, letters: DeadLetters, max_folds: int) -> None:
        self.index = index
        self.changed: dict[bytes, ProfileFold] = {}  # by their records' keys, since the last publish
        self._config = config
        self._letters = letters
        self._max_folds = max_folds
        self._book = ActivityBook()  # of this partition alone: it goes where the partition goes
        self._folds: OrderedDict[bytes, ProfileFold] = OrderedDict()  # least recently touched first
        self._published: dict[bytes, bytes] = {}
        self._decode_event = Decoder(VIEWER_EVENTS)
        self._decode_profile = Decoder(VIEWER_PROFILES)

    def __len__(self) -> int:
        return len(self._published)

    def restore(self, log: Log) -> None:
        """Takes the profiles as they are on viewer-profiles; each is decoded when it is first touched."""
        self._published = last_values(log, Partition(VIEWER_PROFILES, self.index))

    def apply(self, records: Sequence[Record]) -> int:
        """Folds events in offset order; gives the number of duplicates."""
        folds, changed, book = self._folds, self.changed, self._book
        duplicates = 0
        event: Any
        key: Any
        for record, event in self._letters.decoded(records, self._decode_event):  # much: no calls but the fold's
            key = record.key
            fold = changed.get(key)
            known = fold or folds.get(key)
            wrong = key != event.viewer.encode() if known is None else known.viewer != event.viewer
            if wrong or event.at_ms > record.timestamp + MAX_AHEAD_MS:
                self._refuse(record, event)
                continue
            if known is None:
                known = self._fold(key, event.viewer)
            if known.apply(event, record.timestamp, book) is Outcome.DUPLICATE:
                duplicates += 1
            elif fold is None:
                changed[key] = known
        return duplicates

    def publish(self, sink: Sink) -> int:
        """Sends the changed profiles; gives their number. To this very partition: a restart looks for them here."""
        folds = self._folds
        for key, fold in self.changed.items():
            value = fold.packed()
            sink.send(VIEWER_PROFILES, key, value, self.index)
            self._published[key] = value
            folds[key] = fold
            folds.move_to_end(key)
        sent = len(self.changed)
        self.changed = {}
        while len(folds) > self._max_folds:
            folds.popitem(last=False)
        return sent

    def publish_activity(self, sink: Sink) -> int:
        """Sends what the events mean for rooms; gives the number of records."""
        activities = self._book.drain()
        for activity in activities:
            sink.send(ROOM_ACTIVITY, activity.room.encode(), encode(activity))
        return len(activities)

    def profile(self, viewer: ViewerId) -> bytes | None:
        """The bytes of a viewer's profile as published, None for a stranger."""
        return self._published.get(viewer.encode())

    def _fold(self, key: bytes, viewer: str) -> ProfileFold:
        fold = ProfileFold(ViewerId(viewer), self._config)
        value = self._published.get(key)
        if value is not None:
            try:
                fold.restore(self._decode_profile(value))
            except RecordError as err:  # only a newer build can have written it: this one starts the viewer anew
                LOGGER.warning("viewer-profiles partition %d: a profile is not readable: %s", self.index, err)
        self._folds[key] = fold
        return fold

    def _refuse(self, record: Record, event: Any) -> None:
        if record.key != event.viewer.encode():
            self._letters.refuse(record, f"the record's key must be its viewer, {event.viewer!r}, as UTF-8")
        else:
            late = f"at_ms {event.at_ms} is over a minute after it arrived, {record.timestamp}"
            self._letters.refuse(record, late)
