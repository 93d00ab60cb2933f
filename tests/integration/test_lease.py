"""Tests of the Trainer's lease on a real Kafka: two processes, of which one freezes for longer than its session."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from deploy.train.trainer import GROUP, LEASE
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.kafka_config import KafkaConfig
from tests.integration.worker_group import await_true

SESSION_S = 3.0
PATIENCE_S = 60.0


class LeaseProcess:
    """A process that wants the lease; it begins at once."""

    def __init__(self, servers: str, prefix: str) -> None:
        command = [sys.executable, "-m", "tests.lease_process", servers, prefix, GROUP, LEASE, str(SESSION_S)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._said: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def next_line(self, within_s: float = PATIENCE_S) -> str:
        return self._said.get(timeout=within_s)

    def is_silent(self, for_s: float) -> bool:
        try:
            self._said.get(timeout=for_s)
        except queue.Empty:
            return True
        return False

    def ask(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("?\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        self.ask()
        return self.next_line()

    def stop(self) -> None:
        """Ends it as Serve does: it leaves."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(PATIENCE_S) == 0

    def end(self) -> None:
        """Kills it, frozen or not."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(line.rstrip("\n"))


@pytest.fixture
def pair(kafka_config: KafkaConfig, topic_prefix: str) -> Iterator[tuple[LeaseProcess, LeaseProcess]]:
    """The process that has the lease, and one that has just begun and waits for it."""
    with KafkaAdmin(kafka_config) as admin:
        admin.create(f"{topic_prefix}models", partitions=1, replication_factor=1, settings={})
    with ExitStack() as stack:
        processes = []
        for _ in range(2):
            processes.append(LeaseProcess(kafka_config.bootstrap_servers, topic_prefix))
            stack.callback(processes[-1].end)
            if len(processes) == 1:
                assert processes[0].next_line() == "has"
        yield processes[0], processes[1]


def test_the_one_that_has_it_keeps_it_until_it_leaves(pair: tuple[LeaseProcess, LeaseProcess]) -> None:
    first, second = pair
    assert second.answer().startswith("may not: ")
    assert second.is_silent(2 * SESSION_S), "it would have taken it by now"
    assert first.answer() == "may"
    first.stop()
    assert second.next_line() == "has"
    assert second.answer() == "may"


def test_one_that_was_frozen_past_its_session_may_change_nothing(
    pair: tuple[LeaseProcess, LeaseProcess], kafka_log: KafkaLog
) -> None:
    first, second = pair
    before = kafka_log.member(GROUP, LEASE)
    first.process.send_signal(signal.SIGSTOP)
    first.ask()  # so that to ask is the first that it does when it goes on
    assert second.next_line() == "has"
    first.process.send_signal(signal.SIGCONT)
    assert first.next_line().startswith(f"may not: the lease '{LEASE}' of group '{GROUP}' is lost: ")
    assert first.is_silent(2 * SESSION_S), "it does not take it back"
    assert (first.answer().partition(":")[0], second.answer()) == ("may not", "may")
    now = kafka_log.member(GROUP, LEASE)
    assert before is not None
    assert now is not None
    assert now.id != before.id
    second.stop()
    assert first.next_line() == "has"
    assert first.answer() == "may"
    assert first.is_silent(2 * SESSION_S), "it keeps it"


def test_one_that_was_frozen_alone_may_change_nothing_before_it_has_it_anew(
    pair: tuple[LeaseProcess, LeaseProcess], kafka_log: KafkaLog
) -> None:
    """Somebody else may have had it meanwhile, and have left."""
    first, second = pair
    second.end()
    first.process.send_signal(signal.SIGSTOP)
    first.ask()
    await_true(lambda: kafka_log.member(GROUP, LEASE) is None, "its session has ended")
    first.process.send_signal(signal.SIGCONT)
    assert first.next_line().startswith("may not: ")
    assert first.next_line() == "has"
    assert first.answer() == "may"
