"""Test fetches beside a reader, to see what a broker has at an offset. Never moves a position or keeps a record."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from kafka.consumer.fetcher import IsolationLevel
from kafka.errors import KafkaError, NoError, for_code
from kafka.protocol.consumer import FetchRequest
from kafka.structs import TopicPartition

from streaming.broker.batches import BadBatch, FetchedBatches

PROBE_BYTES: Final = 262_144  # a broker gives at least one batch, however large
TIMEOUT_MS: Final = 5_000


class Probed(NamedTuple):
    """Result of a test fetch. good: first readable offset, None where there is none; why: the problem.

    mends: the problem may end by itself, because the broker is busy, away or not the leader.
    """

    good: int | None
    why: str = ""
    mends: bool = False


class Probe:
    """Fetches through the connections of one KafkaConsumer, outside its fetch session. Blocks for a round trip."""

    def __init__(self, consumer: Any) -> None:
        self._manager = consumer._fetcher._manager

    def at(self, there: TopicPartition, offset: int, high: int | None) -> Probed:
        """Tests what can be read at an offset or right behind it. Raises nothing."""
        try:
            error, data = self._fetch(there, offset)
        except (KafkaError, OSError) as err:
            return Probed(None, f"no answer: {type(err).__name__}", mends=True)
        if error is not NoError:
            damaged = error.__name__ in ("CorruptRecordError", "UnknownError")
            return Probed(None, f"the broker answers {error.__name__}", mends=not damaged)
        if not data:
            return Probed(None, "the broker gives nothing there, although the log goes on")
        batches = FetchedBatches(there, data, offset, high)
        try:
            batch = batches.next()
        except BadBatch as err:
            return Probed(batches.expected if batches.resume() else None, err.why)
        return Probed(None if batch is None else max(offset, batch.base_offset))

    def next_good(self, there: TopicPartition, bad: int, end: int, high: int) -> int | None:
        """The first readable offset behind `bad`; `end` where there is none before it.

        None where a broker is busy or away, so that it is not known. The search goes forward in doubling steps, then
        back by halves: with several damaged places, good ones between them may be missed. It takes some 40 round trips
        at most. end: the end of what readers may see; high: the end of the log.
        """
        low, step = bad, 1
        while low < end - 1:
            place = min(bad + step, end - 1)
            found = self.at(there, place, high)
            if found.mends:
                return None
            if found.good is not None:
                return self._first_good(there, low, place, high)
            low, step = place, 2 * step
        return end

    def _first_good(self, there: TopicPartition, low: int, well: int, high: int) -> int | None:
        """Bisects between an offset where nothing is readable and one where something is."""
        while well - low > 1:
            middle = (low + well) // 2
            if self.at(there, middle, high).good is None:
                low = middle
            else:
                well = middle
        return self.at(there, well, high).good

    def _fetch(self, there: TopicPartition, offset: int) -> tuple[type[KafkaError], bytes]:
        leader = self._manager.cluster.leader_for_partition(there)
        if leader is None or leader == -1:
            raise KafkaError("no leader")
        topic = FetchRequest.FetchTopic
        partition = topic.FetchPartition(
            partition=there.partition, fetch_offset=offset, partition_max_bytes=PROBE_BYTES
        )
        request = FetchRequest(
            max_wait_ms=100,
            min_bytes=1,
            max_bytes=PROBE_BYTES,
            isolation_level=IsolationLevel.READ_COMMITTED,
            session_id=0,
            session_epoch=-1,  # no session: the consumer's own goes on undisturbed
            topics=[topic(topic=there.topic, partitions=[partition])],
            min_version=4,
            max_version=12,
        )
        response = self._manager.run(self._ask, leader, request)
        answer = response.responses[0].partitions[0]
        return for_code(answer.error_code), bytes(answer.records or b"")

    async def _ask(self, node: int, request: Any) -> Any:
        return await self._manager.wait_for(self._manager.send(request, node_id=node), TIMEOUT_MS)
