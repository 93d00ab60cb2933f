"""A worker's knowledge of its topics' lives: how they are divided, that they grew, that they begin anew.

Never reads a record and never commits: it decides what to do, and what to store beside a position.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from streaming.clock import Clock
from streaming.errors import LogUnavailable, Unreadable
from streaming.log.log import Log, Partition, Source, TopicShape
from streaming.log.position_note import PositionNote
from streaming.log.topic_set import half_grown, partitions_in_force
from streaming.metrics import Metrics
from streaming.troubles import Skipped, Trouble

LOGGER = logging.getLogger(__name__)

# after topics grew, another member may publish in keys' old partitions for a moment: they are looked at once more then
SETTLE_MS = 15_000


class TopicLife:
    """A set of topics as one member of a group sees them. For the loop's thread; it outlives sessions."""

    def __init__(self, reader: str, topics: Sequence[str], published: str, metrics: Metrics) -> None:
        """topics: the set. published: the compacted topic among them to which states go."""
        self._reader = reader
        self._topics = tuple(topics)
        self._published = published
        self._metrics = metrics
        self._said_anew: dict[str, int] = {}
        self.shapes: Mapping[str, TopicShape] = {}
        self.partitions = 0  # number of partitions among which keys are divided
        self.ends: Mapping[Partition, int] = {}  # of the partitions assigned last
        self.anew_text = ""

    def begin(self, log: Log, source: Source, clock: Clock) -> None:
        """Begins a session."""
        self._log, self._source, self._clock = log, source, clock
        self._notes: dict[Partition, PositionNote] = {}
        self._settling: dict[int, int] = {}  # by index: when it is looked at once more
        self._rebuilt_for = 0  # the making of the published topic for which all is read from the beginning

    def partitions_of(self, topic: str) -> int:
        """How many partitions producers see."""
        return self.shapes[topic].partitions

    def assign(self, partitions: Sequence[Partition], *, anew: bool) -> bool:
        """Looks at the topics when partitions are assigned. False where all will be assigned again: open none now.

        anew: the member has others already. Blocks. Raises LogUnavailable, TopicMissing.
        """
        before, self.shapes = self.shapes, self._log.shapes(self._topics)
        divided, self.partitions = self.partitions, partitions_in_force(self.shapes)
        for topic, shape in before.items():
            if shape.made != self.shapes[topic].made:
                self.found_anew(topic)
        if anew and divided != self.partitions:  # the others have to be opened anew as well
            self._source.again()
            return False
        notes = self._source.notes(partitions)
        self.ends = dict(self._log.ends(partitions))
        for partition in partitions:
            note = PositionNote.parse(notes[partition])
            if note.read > self.ends[partition]:  # the same topic, which has lost records
                self.found_anew(partition.topic)
                note = replace(note, read=0)
            self._notes[partition] = note
        made = self.shapes[self._published].made
        if self._rebuilt_for != made and any(self._notes[one].states not in (0, made) for one in partitions):
            # the published states are gone: they are rebuilt from all that the inputs still hold
            self.found_anew(self._published)
            self._rebuilt_for = made
            self._source.again(from_beginning=True)
            return False
        for index in {partition.index for partition in partitions}:
            if self.has_grown(index):
                self._settling[index] = self._clock.now_ms() + SETTLE_MS
        return True

    def read_before(self, index: int) -> dict[str, int]:
        """How far each topic was read when its position was committed, in partitions of this index."""
        return {partition.topic: note.read for partition, note in self._notes.items() if partition.index == index}

    def read(self, partition: Partition) -> int:
        """How far a partition had been read when a position of it was last committed."""
        return self._notes.get(partition, PositionNote()).read

    def unread(self, skipped: Sequence[Skipped]) -> list[Skipped]:
        """Those of the skipped offsets that had not been read when a position was last committed."""
        found = [one.behind(self.read(Partition(one.topic, one.partition))) for one in skipped]
        return [one for one in found if one is not None]

    def has_grown(self, index: int) -> bool:
        """Whether keys of this partition may have belonged to others when its positions were committed."""
        if self.shapes[self._published].partitions == 1:
            return False
        return not any(n.partitions == self.partitions for p, n in self._notes.items() if p.index == index)

    def settle(self, looked_at: Callable[[int], bool]) -> None:
        """Looks at each due index once more. looked_at: true where none of its keys lies elsewhere any more."""
        now_ms = self._clock.now_ms()
        for index in [index for index, due_ms in self._settling.items() if now_ms >= due_ms]:
            try:
                if looked_at(index):
                    del self._settling[index]
            except LogUnavailable:  # the next second will do
                return

    def postpone(self, index: int, err: Unreadable) -> None:
        """Puts an index off to be looked at later: some of its keys may lie where they cannot be read."""
        self._settling[index] = self._clock.now_ms() + SETTLE_MS
        LOGGER.warning(
            "%s: what belongs to partition %d since topics have grown is not read yet: %s", self._reader, index, err
        )

    def note(self, partition: Partition, read: int) -> None:
        """Stores the present facts with the partition's next position. read: the offset after the last record read."""
        known = self._notes.get(partition, PositionNote())
        partitions = known.partitions if partition.index in self._settling else self.partitions
        note = PositionNote(max(read, known.read), partitions, self.shapes[self._published].made)
        if note != known:
            self._notes[partition] = note
            self._source.note(partition, note.text)

    def found_anew(self, topic: str) -> None:
        """Reports that a topic begins anew, once per making."""
        made = self.shapes[topic].made
        if self._said_anew.get(topic) == made:
            return
        self._said_anew[topic] = made
        self._metrics.count("topics_anew_total", reader=self._reader, topic=topic)
        said = "%s: topic %s was made anew, or its broker has lost it: it is read from its beginning"
        LOGGER.warning(said, self._reader, topic)
        seen = time.strftime("%H:%M:%S UTC", time.gmtime(self._clock.now_ms() / 1000))
        self.anew_text = ", ".join(filter(None, (self.anew_text, f"{topic} since {seen}")))

    def troubles(self) -> list[Trouble]:
        """The troubles of the set: topics that have not grown with the others."""
        message = half_grown(self.shapes) if self.shapes else ""
        if not message:
            return []
        most = max(shape.partitions for shape in self.shapes.values())
        fewer = [topic for topic, shape in self.shapes.items() if shape.partitions < most]
        return [Trouble(topic, self.partitions, -1, "grown", message) for topic in fewer[:1]]
