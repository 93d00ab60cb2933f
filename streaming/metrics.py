"""The table of all metrics with their names, labels and help texts, and the interface that counts them.

Labels are bounded: never a room, a viewer or a text.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["counter", "gauge", "histogram"]
Combine = Literal["livesum", "livemax", "livemin", "liveall"]

FRESHNESS_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
DURATION_S = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
READ_S = (0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1.0)
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
CORRELATIONS = (-0.5, 0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """Declaration of a metric. `combine`: how a gauge is combined over living processes; `buckets`: of a histogram."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    combine: Combine = "livesum"
    buckets: tuple[float, ...] = ()


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        # the log
        Metric("records_read_total", "counter", "records applied", ("topic",)),
        Metric("records_written_total", "counter", "records acknowledged", ("topic",)),
        Metric("dead_letters_total", "counter", "records refused", ("topic", "reason")),
        Metric("records_mended_total", "counter", "records read though not as the schema says", ("topic", "reason")),
        Metric(
            "records_forwarded_total",
            "counter",
            "records found in a partition that their key does not belong to, and forwarded to the right one",
            ("topic", "partitioner"),
        ),
        Metric("rooms_moved_total", "counter", "rooms taken over from other partitions after topics grew"),
        Metric(
            "topics_anew_total",
            "counter",
            "topics found to have been deleted and created again, and read from their beginning",
            ("reader", "topic"),
        ),
        Metric("lag_records", "gauge", "records between a reader and the end of a topic", ("reader", "topic")),
        Metric("log_contact_age_seconds", "gauge", "seconds since a broker last answered", ("reader",), "livemax"),
        Metric("commits_total", "counter", "positions stored", ("reader",)),
        Metric("commit_seconds", "histogram", "seconds to flush and store positions", ("reader",), buckets=DURATION_S),
        Metric(
            "standing_by",
            "gauge",
            "workers that stand by, because another process does their work under their name",
            ("reader",),
        ),
        Metric("loop_restarts_total", "counter", "sessions that ended because no broker answered", ("reader",)),
        Metric(
            "log_partition_troubles",
            "gauge",
            "partitions that are not read: codec, damaged, version, held; 0 where all are",
            ("reader", "topic", "kind"),
        ),
        Metric(
            "log_offsets_skipped_total",
            "counter",
            "offsets that nobody reads: damaged, deleted",
            ("reader", "topic", "reason"),
        ),
        Metric("rebuilds_total", "counter", "partitions whose state was rebuilt from the log", ("reader",)),
        # promises
        Metric(
            "freshness_seconds",
            "histogram",
            "seconds from a record's append to the stage",
            ("stage",),
            buckets=FRESHNESS_S,
        ),
        Metric("rooms_stale", "gauge", "live rooms with text that has waited for longer than 30 s"),
        Metric("encoder_backlog", "gauge", "texts that wait for the encoder"),
        Metric("dead_rooms_returned_total", "counter", "ended rooms found by the last check of an answer; stays 0"),
        # versions of the models
        Metric(
            "model_version",
            "gauge",
            "when the version that answers went live, seconds since 1970; 0 for the baseline ranker",
            (),
            "liveall",
        ),
        Metric("trainings_total", "counter", "training runs by their end: live, refused, failed", ("outcome",)),
        Metric(
            "training_seconds",
            "gauge",
            "seconds that the last training run took, from the archive to the gate's verdict",
        ),
        Metric(
            "swaps_total", "counter", "changes of the version that answers: live, refused, failed, back", ("outcome",)
        ),
        Metric(
            "model_failures_total", "counter", "failures of a version, by what it was asked for", ("version", "task")
        ),
        Metric(
            "swap_seconds",
            "histogram",
            "seconds to change the version, by step: load, embed, warm, flip, total",
            ("stage",),
            buckets=DURATION_S,
        ),
        Metric(
            "shadow_overlap_ratio",
            "histogram",
            "share of the ten best rooms that the live version and the candidate have in common",
            (),
            buckets=SHARES,
        ),
        Metric(
            "shadow_correlation_ratio",
            "histogram",
            "Spearman's rank correlation over the rooms that both versions have among the best",
            (),
            buckets=CORRELATIONS,
        ),
        Metric(
            "shadow_seconds",
            "histogram",
            "seconds to score a request, by the live version and by the candidate",
            ("role",),
            buckets=DURATION_S,
        ),
        # rooms
        Metric("rooms_live", "gauge", "rooms that are live", ("reader",), "livesum"),
        Metric("chat_late_total", "counter", "messages older than their room's window: counted, not read"),
        Metric("chat_duplicates_total", "counter", "messages seen before"),
        Metric("chat_orphaned_total", "counter", "messages for a room that has not started"),
        Metric("chat_after_end_total", "counter", "messages for a room that has ended"),
        Metric("rooms_presumed_ended_total", "counter", "rooms without a sign of life for room_timeout"),
        Metric("presence_timeouts_total", "counter", "viewers presumed to have left: silent for presence_timeout_s"),
        Metric("rooms_revived_total", "counter", "rooms that started or spoke again after an end"),
        Metric("lifecycle_stale_total", "counter", "starts, updates and ends older than what is known"),
        Metric(
            "segments_skipped_total",
            "counter",
            "closed segments left out of a room's mean vector: the encoder had no capacity",
        ),
        Metric("states_published_total", "counter", "room states written", ("cause",)),
        # the encoder
        Metric("texts_encoded_total", "counter", "texts encoded", ("purpose",)),
        Metric("texts_reused_total", "counter", "texts whose vector was known already"),
        Metric("encoder_waiting_texts", "gauge", "texts that wait inside the encoder for the batch before"),
        Metric(
            "vectors_refused_total",
            "counter",
            "vectors left out because they hold a value that is not a number",
            ("reader",),
        ),
        Metric("encoder_failures_total", "counter", "batches that failed and are tried again"),
        Metric("encode_seconds", "histogram", "seconds for one batch in the encoder", buckets=DURATION_S),
        Metric("encode_batch_texts", "histogram", "texts in one batch", buckets=SIZES),
        # viewers
        Metric("viewer_events_duplicate_total", "counter", "viewer events seen before"),
        Metric("viewers_erased_total", "counter", "viewers who were forgotten because they demanded it"),
        Metric("profiles_expired_total", "counter", "profiles deleted: silent for profile.retention_days, or erased"),
        Metric(
            "profiles_held", "gauge", "viewer profiles: of a replica in memory, of a worker all of its own", ("reader",)
        ),
        Metric("profiles_hot", "gauge", "viewer profiles that ProfileWorkers have in memory"),
        Metric("profile_memory_bytes", "gauge", "memory of the profiles that ProfileWorkers have in it, estimated"),
        Metric("profile_store_bytes", "gauge", "files of profiles on the disks of ProfileWorkers"),
        Metric("profile_store_reads_total", "counter", "profiles looked for on disk: found, none", ("outcome",)),
        Metric("profile_store_read_seconds", "histogram", "seconds to read a profile from disk", buckets=READ_S),
        Metric("profile_stores_opened_total", "counter", "files of profiles: new, or reused after a restart", ("how",)),
        Metric("profile_stores_damaged_total", "counter", "files of profiles thrown away, and read again from the log"),
        Metric(
            "profile_store_failures_total",
            "counter",
            "writes of profiles to disk that failed, as on a full disk: they stay in memory, and it is tried again",
        ),
        # the archive
        Metric("archive_records_total", "counter", "records written to the archive", ("topic",)),
        Metric("archive_bytes_total", "counter", "bytes of the files written to the archive", ("topic",)),
        Metric(
            "archive_files_total", "counter", "files of the archive written, merged, deleted, erased in", ("action",)
        ),
        Metric("archive_files_skipped_total", "counter", "damaged or foreign files that a reader skipped"),
        Metric("archive_failures_total", "counter", "failures to write the archive; it is tried again"),
        Metric("archive_waiting_records", "gauge", "records read and not written to the archive yet"),
        # answers
        Metric("requests_total", "counter", "HTTP requests", ("route", "status")),
        Metric(
            "requests_without_access_total",
            "counter",
            "HTTP requests refused for their key, its scope or its rate",
            ("reason",),
        ),
        Metric(
            "request_seconds",
            "histogram",
            "seconds from a request's arrival to its answer, in the replica",
            ("route",),
            buckets=DURATION_S,
        ),
        Metric(
            "intake_records_total",
            "counter",
            "records over HTTP by outcome: accepted, malformed, unknown_version, refused, too_long",
            ("topic", "outcome"),
        ),
        Metric(
            "intake_unwritten_total",
            "counter",
            "requests with records that were not acknowledged, by reason: busy, away (nothing was written), unknown",
            ("topic", "reason"),
        ),
        Metric("intake_repeated_total", "counter", "requests answered as before, by their Idempotency-Key", ("topic",)),
        Metric(
            "intake_seconds",
            "histogram",
            "seconds from records that came over HTTP to their acknowledgement by Kafka",
            ("topic",),
            buckets=DURATION_S,
        ),
        Metric("intake_group_requests", "histogram", "requests that one flush has acknowledged", buckets=SIZES),
        Metric("streams_open", "gauge", "lists that are watched by an open stream"),
        Metric("streams_refused_total", "counter", "streams not opened: full, viewer, ending", ("reason",)),
        Metric("streams_closed_total", "counter", "streams by their end: left, over, blocked, ending", ("reason",)),
        Metric("stream_resumes_total", "counter", "streams that named a list: same, changed, unknown", ("outcome",)),
        Metric("stream_lists_total", "counter", "lists pushed: first, resumed, viewer, ended, change", ("cause",)),
        Metric("stream_ends_total", "counter", "events that took ended rooms out of a list"),
        Metric("stream_heartbeats_total", "counter", "comments sent because a stream was silent"),
        Metric("stream_looks_total", "counter", "lists computed for streams: news, same, failed", ("outcome",)),
        Metric("strangers_total", "counter", "answers for cold-start viewers, who have no profile"),
        Metric(
            "asked_texts_total",
            "counter",
            "texts that callers ask with by outcome: known, encoded, late, failed, refused",
            ("outcome",),
        ),
        Metric("viewer_lookups_total", "counter", "profiles that a replica asked a ProfileWorker for", ("outcome",)),
        Metric(
            "impressions_total", "counter", "impressions for training by outcome: written, dropped, lost", ("outcome",)
        ),
        Metric("impressions_waiting", "gauge", "impressions that wait to be written"),
        Metric(
            "shown_rooms_total",
            "counter",
            "viewers' shown rooms, as replicas tell each other, by outcome: written, dropped, lost",
            ("outcome",),
        ),
        Metric("shown_rooms_waiting", "gauge", "viewers whose shown rooms wait to be written"),
        Metric("shown_viewers", "gauge", "viewers of whom a replica knows which rooms they were shown", (), "livemax"),
        Metric("index_rooms", "gauge", "rooms in the index of a replica", (), "livemax"),
        Metric("undecodable_total", "counter", "records that a replica could not read and skipped", ("topic",)),
        Metric("operator_rules", "gauge", "operators' rules in force", (), "livemax"),
        Metric("stale_states_total", "counter", "room states older than the one in the table"),
        Metric("profiles_evicted_total", "counter", "profiles that a replica evicted to stay inside its memory budget"),
        Metric(
            "rooms_unplaced_total", "counter", "live rooms without a slot in the index: index.max_rooms is too small"
        ),
        Metric("replica_ready", "gauge", "1 where a replica has caught up", (), "livesum"),
        Metric(
            "replica_direct",
            "gauge",
            "1 where a replica answers recommendations in its HTTP server's own callback, 0 where by the ordinary way",
        ),
    )
}


class Metrics(Protocol):
    """Takes counts. Cheap (about a microsecond), from any thread, never raises for a declared metric."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Adds to a counter. Raises KeyError where the table does not declare it."""

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Sets a gauge of this process."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Adds an observation to a histogram."""


class MemoryMetrics:
    """Metrics that a test can read back. They check names, kinds and labels as strictly as the real ones."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, frozenset[tuple[str, str]]], float] = defaultdict(float)
        self._observed: dict[tuple[str, frozenset[tuple[str, str]]], list[float]] = defaultdict(list)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self._values[_declared(name, "counter", labels)] += amount

    def gauge(self, name: str, value: float, **labels: str) -> None:
        self._values[_declared(name, "gauge", labels)] = value

    def observe(self, name: str, value: float, **labels: str) -> None:
        self._observed[_declared(name, "histogram", labels)].append(value)

    def value(self, name: str, **labels: str) -> float:
        """The value of a counter or gauge, 0 if never set. Without labels: the sum over all of them."""
        wanted = set(labels.items())
        return sum(value for (known, have), value in self._values.items() if known == name and wanted <= have)

    def observed(self, name: str, **labels: str) -> list[float]:
        """All observations of a histogram, in order."""
        return list(self._observed[_declared(name, "histogram", labels)])


def _declared(name: str, kind: Kind, labels: dict[str, str]) -> tuple[str, frozenset[tuple[str, str]]]:
    metric = METRICS[name]
    if metric.kind != kind:
        raise KeyError(f"{name} is a {metric.kind}, not a {kind}")
    if set(labels) != set(metric.labels):
        raise KeyError(f"{name} has the labels {metric.labels}, not {tuple(labels)}")
    return name, frozenset(labels.items())
