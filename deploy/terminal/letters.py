"""A reader of the topic of dead letters, for commands. Never writes, never commits a position."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.terminal.console import complain
from streaming.errors import LogUnavailable, RecordError
from streaming.events import DeadLetter
from streaming.log.codec import Decoder
from streaming.log.log import Log, Partition, Source
from streaming.log.topics import DEAD_LETTER
from streaming.troubles import Skipped, Trouble

POLL_S = 0.2
SILENCE_S = 10.0  # without a broker's answer


class Letters:
    """The topic of dead letters, read without a group. For one thread."""

    def __init__(self, log: Log) -> None:
        self._decode = Decoder(DEAD_LETTER)
        self._partitions = list(log.partitions(DEAD_LETTER))
        self._ends = log.ends(self._partitions)
        self._log = log
        self._source: Source | None = None
        self._said: set[Trouble] = set()
        self.unread: set[Partition] = set()  # partitions that cannot be read to their end

    def newest(self, count: int) -> list[DeadLetter]:
        """The newest letters by their times, up to `count` of each partition. Raises LogUnavailable.

        Partitions that cannot be read to their end are reported and in `unread`: they are not waited for.
        """
        starts = {partition: max(0, end - count) for partition, end in self._ends.items()}
        self._source = self._log.reader(self._partitions, starts)
        letters: list[DeadLetter] = []
        while any(lag > 0 for partition, lag in self._lag(self._source).items() if partition not in self.unread):
            letters += self.more(POLL_S)
            if self._source.contact_age_s() > SILENCE_S:
                raise LogUnavailable("no broker answers while dead letters are read")
        return sorted(letters, key=lambda letter: letter.at_ms)

    def more(self, timeout_s: float) -> list[DeadLetter]:
        """Letters that came since. One that cannot be read is from another build: it is reported, and left out."""
        letters: list[DeadLetter] = []
        if self._source is None:
            return letters
        batch = self._source.poll(timeout_s)
        self._say_unread(self._source.troubles(), batch.skipped)
        for records in batch.records.values():
            for record in records:
                try:
                    letters.append(self._decode(record.value or b""))
                except RecordError as err:
                    complain(f"a letter at offset {record.offset} cannot be read: {err}")
        return letters

    def _say_unread(self, troubles: Sequence[Trouble], skipped: Sequence[Skipped]) -> None:
        self.unread = {Partition(one.topic, one.partition) for one in troubles if one.unreadable}
        for trouble in {*troubles} - self._said:
            complain(f"{trouble.topic} partition {trouble.partition}: {trouble.message}")
        for one in skipped:
            complain(f"{one.topic} partition {one.partition}: offsets {one.first} to {one.last} are lost: {one.why}")
        self._said |= {*troubles}

    def close(self) -> None:
        """Closes the connection."""
        if self._source is not None:
            self._source.close()

    def _lag(self, source: Source) -> dict[Partition, int]:
        lag = source.lag()
        return {partition: lag.get(partition, 1 if self._ends[partition] else 0) for partition in self._partitions}
