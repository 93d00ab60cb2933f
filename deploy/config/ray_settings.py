"""The settings of Ray: which Ray is used, and how many processes of each kind run on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from streaming.section import Count, CountOrZero, NotNegative, Positive, Section


@dataclass(frozen=True, slots=True)
class RayConfig(Section):
    """Which Ray is used and how many of each worker run on it."""

    section: ClassVar[str] = "ray"

    address: str = ""  # host:port of a running cluster's GCS; "" starts a Ray on this machine, on loopback only
    room_workers: Count = 1  # more than topics.room_partitions would be idle
    profile_workers: Count = 1  # more than topics.viewer_partitions would be idle
    encoders: Count = 1  # one per GPU; on a CPU one for all cores, with encoder.threads
    # true: Encoder and Trainer run only where there is Ray's resource `encoder`, all others only where `serving` is
    # For clusters whose nodes are not alike: torch on some, Kafka's passwords on others
    split_nodes: bool = False
    encoder_gpus: NotNegative = 0.0  # on a cluster: of each Encoder; on a Ray of our own those of the machine are used
    cpus_per_replica: Positive = 0.1  # reserved by Ray for each replica; on a cluster set what each really uses
    # on a cluster: how many replicas that answer may be on one host at most, so that each host gets one, also one that
    # comes back; 0: no bound
    replicas_per_host: CountOrZero = 0
    encoders_per_host: CountOrZero = 0  # the same for Encoders, so that one vanished host does not take them all
    workers_per_host: CountOrZero = 0  # the same for RoomWorkers, and for ProfileWorkers: others take over at once
    # on a cluster: whether a checkout's code is sent to the hosts; false where each has it installed: it starts sooner
    send_code: bool = True
    # true: each process logs a JSON object a line on its stdout, for a cluster's log collector. Ray keeps that in a
    # file of its own unless RAY_LOG_TO_STDERR=1 is in its environment
    json_logs: bool = False
    object_store_mb: Annotated[int, Meta(ge=80)] = 100  # nothing of ours is in it; Ray's least is 75
    health_check_timeout_s: Positive = 10.0  # a killed process is seen at once anyway; 2 finds a vanished host sooner,
    # 10 lets a check wait for its turn on two busy cores
    # a loop without a turn for so long fails its health check; a wait for a broker that is away
    # ends after kafka.delivery_timeout_s, 30: leave twice that
    stuck_s: Positive = 60.0
    start_timeout_s: Positive = 120.0  # for Ray itself: 4 s on an idle machine; these three grow with how busy it is
    deploy_timeout_s: Positive = 180.0  # for the application, without progress; all takes 15 s on two idle cores
    ready_timeout_s: Positive = 120.0  # then, for every process to report that it is ready; large tables need more
    stop_timeout_s: Positive = 6.0  # for flushing and committing; what does not make it is read again at the next start
