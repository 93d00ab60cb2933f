"""Metrics for Prometheus, of one process or of all processes of a node. The one door to prometheus_client."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from streaming.machine.private_folder import make_private
from streaming.metrics import METRICS, Metric

MULTIPROCESS_DIR_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client while it is imported
EXPORT_PREFIX = "tidecast_"

M = TypeVar("M", Counter, Gauge, Histogram)


class PrometheusMetrics:
    """Metrics for Prometheus, of this process or, with a multiprocess directory, of all processes of a node.

    The directory must be in PROMETHEUS_MULTIPROC_DIR before this module is imported.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._families: dict[str, Counter | Gauge | Histogram] = {}
        self._counters: dict[tuple[object, ...], Counter] = {}
        self._gauges: dict[tuple[object, ...], Gauge] = {}
        self._histograms: dict[tuple[object, ...], Histogram] = {}
        self._lock = threading.Lock()
        directory = os.environ.get(MULTIPROCESS_DIR_VARIABLE)
        self._directory = Path(directory) if directory else None
        if self._directory is not None:
            make_private(self._directory)
        for metric in METRICS.values():  # untouched counters read 0: an alert cannot tell absent from well
            if metric.kind == "counter" and not metric.labels:
                self.count(metric.name, 0)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        key = (name, *labels.items())
        child = self._counters.get(key)
        if child is None:
            child = self._counters[key] = self._child(name, Counter, labels)
        child.inc(amount)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        key = (name, *labels.items())
        child = self._gauges.get(key)
        if child is None:
            child = self._gauges[key] = self._child(name, Gauge, labels)
        child.set(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        key = (name, *labels.items())
        child = self._histograms.get(key)
        if child is None:
            child = self._histograms[key] = self._child(name, Histogram, labels)
        child.observe(value)

    def expose(self) -> bytes:
        """The Prometheus text of every process of the node. Gauges of dead processes are swept first."""
        if self._directory is None:
            return generate_latest(self._registry)
        sweep_dead(self._directory)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._directory))  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _child(self, name: str, kind: type[M], labels: dict[str, str]) -> M:
        with self._lock:
            family = self._families.get(name)
            if family is None:
                family = self._families[name] = self._declare(METRICS[name])
        if not isinstance(family, kind):
            raise KeyError(f"{name} is a {METRICS[name].kind}")
        return family.labels(**labels) if METRICS[name].labels else family

    def _declare(self, metric: Metric) -> Counter | Gauge | Histogram:
        name = EXPORT_PREFIX + metric.name
        if metric.kind == "counter":
            return Counter(name, metric.help, metric.labels, registry=self._registry)
        if metric.kind == "gauge":
            return Gauge(name, metric.help, metric.labels, registry=self._registry, multiprocess_mode=metric.combine)
        return Histogram(name, metric.help, metric.labels, registry=self._registry, buckets=metric.buckets)


def sweep_dead(directory: Path) -> None:
    """Deletes the gauges of processes that are gone. Their counters stay: a counter never falls."""
    for file in directory.glob("gauge_live*_*.db"):
        pid = int(file.stem.rsplit("_", 1)[1])
        if not Path(f"/proc/{pid}").exists():
            file.unlink(missing_ok=True)


def samples(text: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """Parses a page of metrics into name, labels and value of each sample. Raises ValueError at an invalid line."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value
