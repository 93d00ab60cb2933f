"""Reads committed records of Kafka. Never decodes, never commits on its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from kafka import TopicPartition
from kafka.errors import (
    InconsistentTopicIdError,
    KafkaStorageError,
    NotLeaderForPartitionError,
    OffsetOutOfRangeError,
    UnknownTopicIdError,
    UnknownTopicOrPartitionError,
)
from kafka.structs import OffsetAndMetadata

from streaming.broker.assignments import Assignments, TakenAs
from streaming.broker.batches import BadBatch
from streaming.broker.ends import ask_for_ends, ends_of
from streaming.broker.failure import translated
from streaming.broker.fetch_wait import answer_soon
from streaming.broker.fetched import unpack_here
from streaming.broker.membership import Membership
from streaming.broker.shapes import ShapeWatch
from streaming.broker.standstill import Holder, Standstills
from streaming.errors import LogError, LogUnavailable
from streaming.log.log import Batch, Partition, Rebalance, Start, TopicShape
from streaming.troubles import Trouble

NEWS_S = 0.2  # fetched records wait so long for newer metadata; then they are fetched again
UNPOLLED_S = 2.0  # after so long without a poll, silence is not the group's fault, and topics are in doubt
NOT_THERE = frozenset(
    error.errno
    for error in (
        UnknownTopicOrPartitionError,
        UnknownTopicIdError,
        InconsistentTopicIdError,
        NotLeaderForPartitionError,
        KafkaStorageError,
    )
)
SILENT_S = 15.0  # a rebalance takes as long as the session of its slowest member, some 6 s


class KafkaSource:
    """Reads Kafka through one KafkaConsumer, whose own thread fetches and sends heartbeats."""

    def __init__(
        self,
        consumer: Any,
        prefix: str,
        holder: Holder,
        leave: Callable[[str, str, str, str], None],
        *,
        skip_damaged: bool = False,
        metadata_max_age_s: float = 5.0,
    ) -> None:
        """holder: describes whose transaction is open. leave: takes a member out of its group: group, name, id, host.

        The id is "" where the group has not told it yet; then host is this process's address as the group sees it.

        skip_damaged: damaged batches are skipped, and in `skipped`.
        """
        self._consumer = consumer
        self._prefix = prefix
        group, member = consumer.config["group_id"], consumer.config["group_instance_id"]
        self._polling = f"polling as member {member!r} of group {group!r}" if group else "polling"
        self._reported: frozenset[TopicPartition] = frozenset()  # the assignment as reported to the caller
        self._changes = Assignments(consumer.group_metadata)
        self._leave = leave
        self._membership = Membership(consumer._coordinator)
        self._in_group = False
        self._polled_s = time.monotonic()
        self._ends: dict[TopicPartition, int] = {}
        self._standstills = Standstills(consumer, prefix, self._ends, skip_damaged=skip_damaged, holder=holder)
        unpack_here(consumer, prefix, self._standstills.known)
        self._heard_s = time.monotonic()
        self._shapes = ShapeWatch(consumer, metadata_max_age_s)
        answer_soon(consumer, self._shapes.in_doubt)
        self._notes: dict[TopicPartition, str] = {}  # stored with the positions from which we read
        self._noted: dict[TopicPartition, str] = {}  # to be stored with the next positions
        self._next: dict[TopicPartition, int] = {}  # the offset after the last record given, or the first position
        self._out_of_range: dict[TopicPartition, int] = {}  # offsets that a broker refused since the last poll
        self._starts: dict[TopicPartition, int] = {}  # log start offsets, from the last fetch
        self._stored: dict[TopicPartition, int] = {}  # positions of this group's partitions, as committed last
        self._subscribed: set[str] = set()
        self._joined = False  # whether the group has given a first assignment
        self._again = self._wants_again = self._from_beginning = False
        self._moved: set[str] = set()  # topics that moved during a poll, to be reported by the next
        self._made: dict[TopicPartition, int] = {}  # the making to which the positions belong
        self._listen_to_fetches()

    def subscribe(self, topics: Sequence[str], shapes: Mapping[str, TopicShape]) -> None:
        """Joins the group. shapes: of the topics, and of those to be watched beside them."""
        self._in_group = True
        self._shapes.expect({self._prefix + topic: shape for topic, shape in shapes.items()})
        self._shapes.also([self._prefix + topic for topic in shapes])
        self._subscribed = {self._prefix + topic for topic in topics}
        self._consumer.subscribe(sorted(self._subscribed), listener=self._changes)

    def assign(self, partitions: Sequence[Partition], start: Start, shapes: Mapping[str, TopicShape]) -> None:
        self._shapes.expect({self._prefix + topic: shape for topic, shape in shapes.items()})
        there = [TopicPartition(self._prefix + partition.topic, partition.index) for partition in partitions]
        with translated("opening a reader"):
            self._ends.update(ends_of(self._consumer, there))
            self._consumer.assign(there)
            if start == "beginning":
                self._consumer.seek_to_beginning(*there)
            else:
                positions = self._ends if start == "end" else {t: start[self._here(t)] for t in there}
                for partition in there:
                    self._next[partition] = positions[partition]
                    if positions[partition]:
                        self._consumer.seek(partition, positions[partition])
                    else:  # from the oldest available
                        self._consumer.seek_to_beginning(partition)

    def poll(self, timeout_s: float) -> Batch:
        if moved := self._about_to_begin_again():
            return Batch(reshaped=moved)
        began_s = time.monotonic()
        deadline = began_s + timeout_s
        if began_s - self._polled_s > UNPOLLED_S:
            self._membership.forgive()
            self._shapes.doubt()
        if self._in_group and self._membership.silent_s > SILENT_S:
            raise LogUnavailable(
                f"this member has heard nothing of its group for {SILENT_S:.0f} s; it has to join anew"
            )
        try:
            with translated(self._polling):
                self._require_member()
                if self._in_group:
                    self._membership.allow()
                    self._membership.mend()
                self._standstills.begin_poll()
                found = self._readable(deadline)
        except LogUnavailable:
            time.sleep(max(0.0, deadline - time.monotonic()))  # an outage must not become a busy loop
            found = {}
        self._standstills.end_poll()
        found, moved_here = self._without_moved(found)
        if moved_here:
            self._standstills.forget(partition for partition in self._next if partition.topic in moved_here)
        assigned, revoked = self._reassignment(found) if self._in_group else ((), ())
        self._again = bool(moved_here)
        self._polled_s = time.monotonic()
        return Batch(
            {self._here(partition): lines for partition, lines in found.items()},
            assigned,
            revoked,
            self._standstills.take_skipped(),
            reshaped=self._unprefixed(moved_here),
        )

    def _readable(self, deadline: float) -> dict[TopicPartition, Any]:
        """Polls until the deadline. A partition that cannot be read does not stop the others. Raises KafkaError."""
        while True:
            try:
                found: dict[TopicPartition, Any] = self._consumer.poll(
                    timeout_ms=max(0, int((deadline - time.monotonic()) * 1000))
                )
            except BadBatch as err:
                self._standstills.stop(err)
                if time.monotonic() >= deadline:
                    return {}
            else:
                return found

    def commit(self, positions: Mapping[Partition, int]) -> None:
        with translated("storing positions"):
            if not self._in_group:
                raise LogError("a reader of exact partitions belongs to no group and stores no positions")
            self._require_member()
            self._consumer.commit(self.offsets(positions), timeout_ms=10_000)

    def note(self, partition: Partition, text: str) -> None:
        self._noted[self._there(partition)] = text

    def notes(self, partitions: Sequence[Partition]) -> Mapping[Partition, str]:
        return {partition: self._notes.get(self._there(partition), "") for partition in partitions}

    def again(self, *, from_beginning: bool = False) -> None:
        self._wants_again, self._from_beginning = True, from_beginning

    def lag(self) -> Mapping[Partition, int]:
        assignment = self._consumer._subscription.assignment
        lag: dict[Partition, int] = {}
        for partition, state in list(assignment.items()):
            position, end = state.position, self._ends.get(partition)
            # 1: until both are known, it may not be 0
            lag[self._here(partition)] = 1 if position is None or end is None else max(0, end - position.offset)
        return lag

    def contact_age_s(self) -> float:
        heartbeat: float = (
            self._consumer._coordinator.heartbeat.last_receive
        )  # a member with no partition fetches nothing
        return time.monotonic() - max(self._heard_s, heartbeat)

    def held(self) -> Collection[Partition]:
        return [self._here(there) for there in self._standstills.held()]

    def troubles(self) -> Sequence[Trouble]:
        return self._standstills.troubles()

    def rebalance(self) -> Rebalance:
        if self._membership.waits_to_rejoin:
            return "waits"
        return "runs" if self._changes.is_joining else "none"

    def member_id(self) -> str:
        return str(self._consumer.group_metadata().member_id or "") if self._in_group else ""

    def leave(self) -> None:
        member_id = self.member_id()
        host = "" if member_id or not self._in_group else self._membership.host()
        if host:  # it may be joining: the group has it from the request on, and tells it its id at the end
            self.close()
        if member_id or host:
            config = self._consumer.config
            with contextlib.suppress(LogError):  # then the session's end does it
                self._leave(config["group_id"], config["group_instance_id"], member_id, host)

    def close(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=2_000)

    def offsets(self, positions: Mapping[Partition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
        """Converts positions for kafka-python, with notes and makings as their metadata."""
        found: dict[TopicPartition, OffsetAndMetadata] = {}
        for partition, offset in positions.items():
            there = self._there(partition)
            note = self._noted.get(there, self._notes.get(there, ""))
            made = self._made.get(there, 0)
            found[there] = OffsetAndMetadata(offset, f"{made:x} {note}", -1)
            self._stored[there] = offset
        return found

    def same_position(self) -> dict[Partition, int]:
        """One of this member's partitions with its position as it is stored: to commit it changes nothing.

        A transaction that carries a position is refused where its member is not in the group any more. Raises
        LogUnavailable: the member has no partition, so another one repeats what it has done.
        """
        if not self._reported:
            raise LogUnavailable(f"{self._polling}: it has no partition, so nothing that it writes counts")
        there = min(self._reported & self._stored.keys() or self._reported)
        if there not in self._stored:  # nothing was ever committed: reading began where the partition begins
            with translated("asking where a partition begins"):
                self._stored[there] = self._consumer.beginning_offsets([there])[there]
        return {self._here(there): self._stored[there]}

    def membership(self) -> TakenAs:
        """The membership of the partitions that the last poll has reported, for a transaction that ends later."""
        member = self._changes.taken_as()
        if member is None:
            raise LogUnavailable(f"{self._polling}: it is not in its group yet")
        return member

    def _require_member(self) -> None:
        if self._membership.fenced is not None:
            raise self._membership.fenced

    def _listen_to_fetches(self) -> None:
        """Notes the time of each answer to a fetch, and each partition's last stable offset.

        kafka-python exposes neither. Its high watermark includes uncommitted records, which are no lag of ours.
        """
        fetcher = self._consumer._fetcher
        handle = fetcher._handle_fetch_response

        def heard(node_id: int, fetch_offsets: Any, send_time: float, response: Any) -> None:
            self._heard_s = time.monotonic()
            for topic in response.responses:
                for partition in topic.partitions:
                    there = TopicPartition(topic.topic, partition.partition_index)
                    self._standstills.hear(partition, there, fetch_offsets[there])
                    if partition.log_start_offset >= 0:
                        self._starts[there] = partition.log_start_offset
                    if partition.last_stable_offset >= 0:
                        self._ends[there] = partition.last_stable_offset
                    elif partition.error_code == OffsetOutOfRangeError.errno:
                        self._out_of_range[there] = fetch_offsets[there]
                    if partition.error_code in NOT_THERE:
                        self._shapes.doubt(topic.topic)
            handle(node_id, fetch_offsets, send_time, response)

        fetcher._handle_fetch_response = heard

    def _without_moved(self, found: dict[TopicPartition, Any]) -> tuple[dict[TopicPartition, Any], set[str]]:
        """A poll's records without those of topics that begin anew, and these topics."""
        moved = self._set_elsewhere(found) if self._out_of_range else set()
        self._moved |= self._shapes.settled({there.topic for there in found}, NEWS_S)
        unsure = [there for there in found if there.topic in self._moved or self._shapes.doubted(there.topic)]
        for partition in unsure:
            self._consumer.seek(partition, found.pop(partition)[0].offset)  # read again once the making is known
        for partition, lines in found.items():
            if lines[0].offset < self._next.get(partition, 0):  # the log has lost records
                moved.add(partition.topic)
            self._next[partition] = lines[-1].offset + 1
        return ({p: lines for p, lines in found.items() if p.topic not in moved} if moved else found), moved

    def _set_elsewhere(self, found: Mapping[TopicPartition, Any]) -> set[str]:
        """Topics of partitions that were set back, because the log ends before their offset.

        Where the log begins after it, the offsets between are noted as deleted.
        """
        moved: set[str] = set()
        for partition, asked in list(self._out_of_range.items()):
            state = self._consumer._subscription.assignment.get(partition)
            if state is not None and state.position is None:
                continue  # its new position is being looked up
            del self._out_of_range[partition]
            if state is None:
                continue
            now = (
                self._starts.get(partition, found[partition][0].offset) if partition in found else state.position.offset
            )
            if now < self._next.get(partition, 0):
                moved.add(partition.topic)
                self._next[partition] = now
            elif now > asked:
                self._standstills.note_deleted(partition, asked, now - 1)
        return moved

    def _about_to_begin_again(self) -> tuple[str, ...]:
        """Topics because of which the next poll reassigns everything; the reader may commit its positions before."""
        if self._again:
            return ()
        moved = self._shapes.moved() | self._moved
        self._moved = set()
        if moved and self._in_group:
            self._join_anew()
        if self._wants_again:
            moved |= {partition.topic for partition in self._reported}
        self._again, self._wants_again = bool(moved), False
        return self._unprefixed(moved)

    def _join_anew(self) -> None:
        """Makes the group divide the current partitions anew.

        A static member that comes back gets its old assignment, without regard to topics that changed meanwhile. It
        does not learn that it leads, so it would never start a new division. A rejoin of other members changes nothing.
        Call it only if needed: commits in flight fail during a rebalance.
        """
        coordinator = self._consumer._coordinator
        if not coordinator._is_leader:
            coordinator.request_rejoin()

    def _unprefixed(self, names: Collection[str]) -> tuple[str, ...]:
        return tuple(sorted(name[len(self._prefix) :] for name in names))

    def _reassignment(self, found: dict[TopicPartition, Any]) -> tuple[tuple[Partition, ...], tuple[Partition, ...]]:
        """Assigned and revoked partitions. Those of one index change together, and all do where a topic has moved.

        Removes from `found` the records of partitions that are read again from another position.
        """
        change = self._changes.take()
        again = self._again
        if change is None and not again:
            return (), ()
        if change is not None and not self._joined:
            self._joined = True
            self._membership.hold()
            if self._subscribed - {partition.topic for partition in change[0]}:
                self._join_anew()
        held, lost = change or (self._reported, frozenset())
        assigned, revoked = held - (self._reported - lost), (self._reported - held) | (self._reported & lost)
        indices = {partition.partition for partition in assigned | revoked}
        anew = {p for p in held - assigned if again or p.partition in indices}
        self._reported = held
        for partition in self._resume(assigned, anew):
            found.pop(partition, None)
        for partition in assigned:  # lag() then reports 1 until the ends are known
            self._ends.pop(partition, None)
        ask_for_ends(self._consumer, assigned, self._ends.update)
        return self._sorted(assigned | anew), self._sorted(revoked | anew)

    def _resume(self, assigned: frozenset[TopicPartition], anew: set[TopicPartition]) -> set[TopicPartition]:
        """Sets each partition to its committed position, or to the beginning where that is of another making.

        Returns the partitions of which records from another position may have been fetched already.
        """
        there, moved = [*assigned, *anew], set(anew)
        if not there:
            return moved
        with translated("asking where the group left off"):
            stored = self._consumer._coordinator.fetch_committed_offsets(there, timeout_ms=10_000)
            from_beginning, self._from_beginning = self._from_beginning, False
            for partition in there:
                known = stored.get(partition)
                offset = -1 if known is None else known.offset
                made, _, note = (known.metadata or "" if known is not None else "").partition(" ")
                foreign = made not in ("", "0", f"{self._shapes.known(partition.topic).made:x}")
                self._noted.pop(partition, None)
                self._made[partition] = self._shapes.known(partition.topic).made
                self._stored.pop(partition, None)
                if offset >= 0 and not foreign:
                    self._stored[partition] = offset
                self._notes[partition] = "" if foreign else note
                if foreign or from_beginning or (offset < 0 and partition in anew):
                    self._standstills.forget([partition])
                    self._consumer.seek_to_beginning(partition)
                    self._next[partition] = 0
                    moved.add(partition)
                else:
                    if partition in anew:
                        self._consumer.seek(partition, offset)
                    self._next[partition] = max(0, offset)
        return moved

    def _sorted(self, partitions: frozenset[TopicPartition]) -> tuple[Partition, ...]:
        return tuple(sorted(map(self._here, partitions)))

    def _there(self, partition: Partition) -> TopicPartition:
        return TopicPartition(self._prefix + partition.topic, partition.index)

    def _here(self, partition: TopicPartition) -> Partition:
        return Partition(partition.topic[len(self._prefix) :], partition.partition)
