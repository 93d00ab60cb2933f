"""A worker's lag is measured by topic, for people, and by partition, by which Serve scales workers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from actors.worker.status import Gauge
from streaming.clock import SystemClock
from streaming.log.log import Partition
from streaming.metrics import MemoryMetrics


def source(lag: dict[Partition, int]) -> Any:
    return SimpleNamespace(lag=lambda: lag, contact_age_s=lambda: 0.5)


def test_lag_is_summed_by_topic_and_by_partition() -> None:
    gauge = Gauge("readers", MemoryMetrics(), SystemClock())
    gauge.measure(source({Partition("chat", 0): 5, Partition("rooms", 0): 2, Partition("chat", 1): 1}))
    assert gauge.lag == {"chat": 6, "rooms": 2}
    assert gauge.unread == {0: 7, 1: 1}


def test_a_partition_that_went_to_another_worker_is_no_longer_reported() -> None:
    """Its new owner reports it; the old one would report its last lag for ever."""
    gauge = Gauge("readers", MemoryMetrics(), SystemClock())
    gauge.measure(source({Partition("chat", 0): 5, Partition("chat", 1): 9}))
    gauge.measure(source({Partition("chat", 0): 4}))
    assert gauge.unread == {0: 4}
