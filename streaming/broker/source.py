"""Reads committed records of Kafka. Never decodes, never commits on its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from streaming.broker.failure import translated
from streaming.broker.fetched import unpack_here
from streaming.broker.membership import Membership
from streaming.errors import LogError, LogUnavailable
from streaming.log import Batch, Partition, Start

UNPOLLED_S = 2.0  # who has not polled for so long cannot blame the group for a silence before that
SILENT_S = 15.0  # a rebalance takes as long as the session of its slowest member, some 6 s


class KafkaSource:
    """Reads Kafka through one KafkaConsumer, whose own thread keeps fetching and sends the heartbeats."""

    def __init__(self, consumer: Any, prefix: str) -> None:
        self._consumer = consumer
        self._prefix = prefix
        unpack_here(consumer, prefix)
        self._told: frozenset[TopicPartition] = frozenset()  # the assignment that the caller knows of
        self._changes = _Assignments()
        self._membership = Membership(consumer._coordinator)
        self._in_group = False
        self._polled_s = time.monotonic()
        self._ends: dict[TopicPartition, int] = {}
        self._heard_s = time.monotonic()
        self._listen_to_fetches()

    def subscribe(self, topics: Sequence[str]) -> None:
        self._in_group = True
        self._consumer.subscribe([self._prefix + topic for topic in topics], listener=self._changes)

    def assign(self, partitions: Sequence[Partition], start: Start) -> None:
        there = [TopicPartition(self._prefix + partition.topic, partition.index) for partition in partitions]
        with translated("opening a reader"):
            self._ends.update(self._consumer.end_offsets(there))
            self._consumer.assign(there)
            if start == "beginning":
                self._consumer.seek_to_beginning(*there)
            else:
                positions = self._ends if start == "end" else {t: start[self._here(t)] for t in there}
                for partition in there:
                    self._consumer.seek(partition, positions[partition])

    def poll(self, timeout_s: float) -> Batch:
        began_s = time.monotonic()
        deadline = began_s + timeout_s
        if began_s - self._polled_s > UNPOLLED_S:
            self._membership.forgive()
        if self._in_group and self._membership.silent_s > SILENT_S:
            raise LogUnavailable(
                f"this member has heard nothing of its group for {SILENT_S:.0f} s; it has to join anew"
            )
        try:
            with translated("polling"):
                self._require_member()
                if self._in_group:
                    self._membership.mend()
                found = self._consumer.poll(timeout_ms=max(0, int(timeout_s * 1000)))
        except LogUnavailable:
            time.sleep(max(0.0, deadline - time.monotonic()))  # an outage must not become a busy loop
            found = {}
        assigned, revoked = self._reassignment()
        self._polled_s = time.monotonic()
        return Batch({self._here(partition): lines for partition, lines in found.items()}, assigned, revoked)

    def commit(self, positions: Mapping[Partition, int]) -> None:
        with translated("storing positions"):
            if not self._in_group:
                raise LogError("a reader of exact partitions belongs to no group and stores no positions")
            self._require_member()
            self._consumer.commit(self.offsets(positions), timeout_ms=10_000)

    def lag(self) -> Mapping[Partition, int]:
        assignment = self._consumer._subscription.assignment
        lag: dict[Partition, int] = {}
        for partition, state in list(assignment.items()):
            position, end = state.position, self._ends.get(partition)
            # 1: it is not known to be 0 before both are known
            lag[self._here(partition)] = 1 if position is None or end is None else max(0, end - position.offset)
        return lag

    def contact_age_s(self) -> float:
        heartbeat: float = (
            self._consumer._coordinator.heartbeat.last_receive
        )  # a member with no partition fetches nothing
        return time.monotonic() - max(self._heard_s, heartbeat)

    def close(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=2_000)

    def offsets(self, positions: Mapping[Partition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
        """Positions as kafka-python takes them."""
        return {
            TopicPartition(self._prefix + partition.topic, partition.index): OffsetAndMetadata(offset, "", -1)
            for partition, offset in positions.items()
        }

    def membership(self) -> Any:
        """What a transaction needs to know of this member, so that a stale one is fenced (KIP-447)."""
        return self._consumer.group_metadata()

    def _require_member(self) -> None:
        if self._membership.fenced is not None:
            raise self._membership.fenced

    def _listen_to_fetches(self) -> None:
        """Notes when a broker answered a fetch and where each partition's last stable offset is.

        kafka-python gives out neither; its high watermark counts what is not committed yet, which is no lag of ours.
        """
        fetcher = self._consumer._fetcher
        handle = fetcher._handle_fetch_response

        def heard(node_id: int, fetch_offsets: Any, send_time: float, response: Any) -> None:
            self._heard_s = time.monotonic()
            for topic in response.responses:
                for partition in topic.partitions:
                    if partition.last_stable_offset >= 0:
                        there = TopicPartition(topic.topic, partition.partition_index)
                        self._ends[there] = partition.last_stable_offset
            handle(node_id, fetch_offsets, send_time, response)

        fetcher._handle_fetch_response = heard

    def _reassignment(self) -> tuple[tuple[Partition, ...], tuple[Partition, ...]]:
        change = self._changes.take()
        if change is None:
            return (), ()
        held, lost = change
        assigned, revoked = held - (self._told - lost), (self._told - held) | (self._told & lost)
        self._told = held
        with contextlib.suppress(KafkaError):  # not knowing the ends yet is said by lag()
            self._ends.update(self._consumer.end_offsets(list(assigned), timeout_ms=2_000) if assigned else {})
        return self._sorted(assigned), self._sorted(revoked)

    def _sorted(self, partitions: frozenset[TopicPartition]) -> tuple[Partition, ...]:
        return tuple(sorted(map(self._here, partitions)))

    def _here(self, partition: TopicPartition) -> Partition:
        return Partition(partition.topic[len(self._prefix) :], partition.partition)


class _Assignments(ConsumerRebalanceListener):  # type: ignore[misc]
    """Keeps what the consumer's own thread says of the assignment until the next poll takes it.

    A rebalance revokes everything and gives most of it back, with its position: only the difference is a change. What
    was lost may have been another's meanwhile, so it is a change even where it comes back.
    """

    def __init__(self) -> None:
        self._held: frozenset[TopicPartition] = frozenset()
        self._lost: frozenset[TopicPartition] = frozenset()
        self._settled = False

    def on_partitions_revoked(self, revoked: Any) -> None:
        """A rebalance begins; its end will say what is kept."""

    def on_partitions_lost(self, lost: Any) -> None:
        self._lost |= frozenset(lost)
        self._held -= frozenset(lost)
        self._settled = True

    def on_partitions_assigned(self, assigned: Any) -> None:
        self._held = frozenset(assigned)
        self._settled = True

    def take(self) -> tuple[frozenset[TopicPartition], frozenset[TopicPartition]] | None:
        """What is held and what was lost since the last time; None where nothing happened."""
        if not self._settled:
            return None
        self._settled = False
        lost, self._lost = self._lost, frozenset()
        return self._held, lost
