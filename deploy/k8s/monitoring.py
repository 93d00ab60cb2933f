"""What Prometheus does for an installation: which pods it asks, and what it alerts of. Never shows anything.

A test holds each metric's name against those that processes really expose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deploy.k8s.installation import COMPONENT, PART_OF, Installation
from deploy.k8s.manifest import Manifest, manifest


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert: when, for how long before it is raised, how bad, and what it means and asks for."""

    name: str
    expression: str
    after: str
    severity: str
    summary: str
    description: str


ALERTS = (
    Alert(
        "TidecastNotReady",
        'sum(tidecast_replica_ready{namespace="$NAMESPACE"}) < 1'
        ' or absent(tidecast_replica_ready{namespace="$NAMESPACE"})',
        "1m",
        "critical",
        "no replica can answer",
        "Callers get 503. `kubectl get rayservice` and /readyz of a serving pod say why.",
    ),
    Alert(
        "TidecastErrors",
        'sum(rate(tidecast_requests_total{namespace="$NAMESPACE",status=~"5.."}[5m]))'
        ' / sum(rate(tidecast_requests_total{namespace="$NAMESPACE"}[5m])) > 0.01',
        "5m",
        "critical",
        "more than 1 % of the answers are errors",
        "The replicas' logs have the cause; /readyz says whether they have read their tables.",
    ),
    Alert(
        "TidecastSlow",
        "histogram_quantile(0.99, sum by (le)"
        ' (rate(tidecast_request_seconds_bucket{namespace="$NAMESPACE",route="/v1/recommend"}[5m]))) > 0.1',
        "10m",
        "warning",
        "one answer in a hundred takes longer than 100 ms",
        "More Recommenders help (scaling.recommenders), and more processor time for each (ray.cpus_per_replica).",
    ),
    Alert(
        "TidecastNotFresh",
        "histogram_quantile(0.99, sum by (le)"
        ' (rate(tidecast_freshness_seconds_bucket{namespace="$NAMESPACE",stage="total"}[5m]))) > 10',
        "5m",
        "warning",
        "states of rooms reach answers late",
        "Look at the lag of room-workers and of replicas, and at the brokers.",
    ),
    Alert(
        "TidecastStaleRooms",
        'sum(tidecast_rooms_stale{namespace="$NAMESPACE"}) > 0',
        "5m",
        "warning",
        "chat of live rooms waits for the encoder for more than 30 s",
        "More Encoders help (scaling.encoders), or a GPU.",
    ),
    Alert(
        "TidecastBehind",
        'sum by (reader, topic) (tidecast_lag_records{namespace="$NAMESPACE"}) > 100000',
        "10m",
        "warning",
        "{{ $labels.reader }} is behind on {{ $labels.topic }}",
        "More workers help, up to the number of partitions. A hot partition is read by one, however many there are.",
    ),
    Alert(
        "TidecastOutOfTouch",
        'max by (reader) (tidecast_log_contact_age_seconds{namespace="$NAMESPACE"}) > 30',
        "2m",
        "critical",
        "{{ $labels.reader }} has had no word from Kafka for 30 s",
        "Answers come from what was read before; after http.unready_contact_s replicas stop answering.",
    ),
    Alert(
        "TidecastPartitionNotRead",
        'sum by (reader, topic, kind) (tidecast_log_partition_troubles{namespace="$NAMESPACE"}) > 0',
        "2m",
        "critical",
        "a partition of {{ $labels.topic }} is not read: {{ $labels.kind }}",
        "`tidecast status` says which, and what to do.",
    ),
    Alert(
        "TidecastDeadRoomReturned",
        'increase(tidecast_dead_rooms_returned_total{namespace="$NAMESPACE"}[10m]) > 0',
        "0m",
        "critical",
        "an ended room was found by the last check of an answer",
        "This is a promise, and its breach a fault: please report it with the replicas' logs.",
    ),
    Alert(
        "TidecastRecordsRefused",
        'sum by (topic, reason) (rate(tidecast_dead_letters_total{namespace="$NAMESPACE"}[10m])) > 1',
        "10m",
        "warning",
        "records of {{ $labels.topic }} are refused: {{ $labels.reason }}",
        "`tidecast letters` shows them.",
    ),
    Alert(
        "TidecastLoopRestarts",
        'sum by (reader) (increase(tidecast_loop_restarts_total{namespace="$NAMESPACE"}[15m])) > 5',
        "0m",
        "warning",
        "{{ $labels.reader }} loses its session on Kafka again and again",
        "Look at the brokers, and whether the pods get processor time.",
    ),
    Alert(
        "TidecastIndexFull",
        'increase(tidecast_rooms_unplaced_total{namespace="$NAMESPACE"}[10m]) > 0',
        "0m",
        "warning",
        "live rooms find no place in the index",
        "Raise index.max_rooms.",
    ),
    Alert(
        "TidecastModelFails",
        'sum by (version, task) (increase(tidecast_model_failures_total{namespace="$NAMESPACE"}[10m])) > 0',
        "0m",
        "warning",
        "version {{ $labels.version }} of the models fails",
        "After recommend.failures in a row it gives way; `tidecast rollback` does so at once.",
    ),
    Alert(
        "TidecastArchiveFails",
        'increase(tidecast_archive_failures_total{namespace="$NAMESPACE"}[15m]) > 0',
        "15m",
        "warning",
        "the archive is not written",
        "Nothing is lost while Kafka keeps it (chat: 6 hours). Look at the object store and its credentials.",
    ),
)


def monitors(here: Installation) -> Iterator[Manifest]:
    """The pods that Prometheus asks: each answers for all processes in it."""
    pods = {
        "matchLabels": {PART_OF: here.config.name},
        "matchExpressions": [{"key": COMPONENT, "operator": "In", "values": ["serving", "encoder"]}],
    }
    endpoint = {"port": "admin", "path": "/metrics", "interval": "15s"}
    yield manifest(
        "monitoring.coreos.com/v1",
        "PodMonitor",
        here.metadata(),
        spec={"selector": pods, "podTargetLabels": [COMPONENT], "podMetricsEndpoints": [endpoint]},
    )


def rules(here: Installation) -> Manifest:
    """The alerts."""
    alerts = [
        {
            "alert": one.name,
            "expr": one.expression.replace("$NAMESPACE", here.config.namespace),
            "for": one.after,
            "labels": {"severity": one.severity},
            "annotations": {"summary": one.summary, "description": one.description},
        }
        for one in ALERTS
    ]
    groups = [{"name": here.config.name, "rules": alerts}]
    return manifest("monitoring.coreos.com/v1", "PrometheusRule", here.metadata(), spec={"groups": groups})
