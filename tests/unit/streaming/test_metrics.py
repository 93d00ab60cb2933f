"""Metrics count what they are told, refuse what the table does not declare, and add up over processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streaming.metrics import METRICS, MemoryMetrics, Metrics
from streaming.prometheus import MULTIPROCESS_DIR_VARIABLE, PrometheusMetrics

WRITER = """
from streaming.prometheus import PrometheusMetrics
metrics = PrometheusMetrics()
metrics.count("records_read_total", 3, topic="chat")
metrics.gauge("rooms_live", 5, reader="room-worker")
metrics.observe("commit_seconds", 0.25, reader="room-worker")
"""
READER = WRITER + "print(metrics.expose().decode())"


@pytest.fixture(params=[MemoryMetrics, PrometheusMetrics])
def metrics(request: pytest.FixtureRequest) -> Metrics:
    made: Metrics = request.param()
    return made


def test_undeclared_metric_is_refused(metrics: Metrics) -> None:
    with pytest.raises(KeyError):
        metrics.count("no_such_total")


def test_metric_of_another_kind_is_refused(metrics: Metrics) -> None:
    with pytest.raises(KeyError):
        metrics.gauge("commits_total", 1, reader="r")


def test_every_declared_metric_can_be_touched(metrics: Metrics) -> None:
    touch = {"counter": metrics.count, "gauge": metrics.gauge, "histogram": metrics.observe}
    for metric in METRICS.values():
        touch[metric.kind](metric.name, 1.0, **dict.fromkeys(metric.labels, "x"))


def test_memory_metrics_sum_over_labels() -> None:
    metrics = MemoryMetrics()
    metrics.count("records_read_total", 2, topic="chat")
    metrics.count("records_read_total", 3, topic="rooms")
    assert metrics.value("records_read_total", topic="chat") == 2
    assert metrics.value("records_read_total") == 5


def test_names_follow_the_conventions() -> None:
    for metric in METRICS.values():
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
        assert (metric.kind == "histogram") == bool(metric.buckets), metric.name
        assert not {"room", "viewer", "text"} & set(metric.labels), metric.name


def test_processes_of_a_node_add_up_and_the_dead_keep_only_their_counters(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    environment = {**os.environ, MULTIPROCESS_DIR_VARIABLE: str(tmp_path), "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", WRITER], env=environment, check=True)
    text = subprocess.run([sys.executable, "-c", READER], env=environment, check=True, capture_output=True, text=True)
    assert 'tidecast_records_read_total{topic="chat"} 6.0' in text.stdout
    assert 'tidecast_rooms_live{reader="room-worker"} 5.0' in text.stdout  # the first writer is gone
    assert 'tidecast_commit_seconds_count{reader="room-worker"} 2.0' in text.stdout


def test_a_counter_that_never_counted_reads_zero() -> None:
    assert b"\ntidecast_dead_rooms_returned_total 0.0\n" in PrometheusMetrics().expose()
