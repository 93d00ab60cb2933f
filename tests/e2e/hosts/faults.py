"""The faults that a cluster must survive, each a small function on it. Never measures.

A fault says which hosts cannot be asked while it lasts; everybody else must be answered.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tests.e2e.hosts.cluster import WORKERS, Cluster

PARTITION_S = 10.0


def nothing(_cluster: Cluster) -> None:
    """For what heals by itself, and where `on_host` says what to inflict."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. gone: hosts that nobody can ask from then on. back: those that have to get a replica again.

    heal: brings back what stays away, for the fault after it. on_host: makes `inflict` for the host with most workers,
    which only the running cluster shows.
    """

    name: str
    inflict: Callable[[Cluster], None] = nothing
    gone: Sequence[str] = ()
    back: Sequence[str] = ()
    heal: Callable[[Cluster], None] = nothing
    stays_away: bool = False  # the hosts in `gone` are not expected back before `heal`
    kafka_away: bool = False
    on_host: Callable[[str], Callable[[Cluster], None]] | None = None

    def aimed(self, cluster: Cluster) -> Fault:
        """The fault with its host."""
        if self.on_host is None:
            return self
        host = busiest(cluster)
        return replace(self, inflict=self.on_host(host), gone=[host])


def busiest(cluster: Cluster) -> str:
    """The worker host with most RoomWorkers, of several the one with most ProfileWorkers."""
    posts = cluster.posts("head")

    def count(host: str) -> tuple[int, int]:
        here = [post.name for post in posts if post.node == cluster.host(host).address]
        return here.count("room-worker"), here.count("profile-worker")

    return max(WORKERS, key=count)


def kill(name: str) -> Callable[[Cluster], None]:
    """kill -9 of the process of a deployment, not on the head."""

    def inflict(cluster: Cluster) -> None:
        os.kill(cluster.find(name).pid, signal.SIGKILL)

    return inflict


def kill_raylet(host: str) -> Callable[[Cluster], None]:
    """kill -9 of a host's raylet: the processes that it has started end soon after it, and the supervisor acts."""

    def inflict(cluster: Cluster) -> None:
        (raylet,) = cluster.host(host).named(r"raylet/raylet ")
        os.kill(raylet, signal.SIGKILL)

    return inflict


def kill_host(host: str) -> Callable[[Cluster], None]:
    """kill -9 of every process of a host at once; its kernel closes the connections."""
    return lambda cluster: cluster.kill_host(host)


def cut_power(host: str) -> Callable[[Cluster], None]:
    """The cable first: no connection is closed, nobody is told."""

    def inflict(cluster: Cluster) -> None:
        cluster.host(host).unplug()
        cluster.kill_host(host)

    return inflict


def join(*hosts: str) -> Callable[[Cluster], None]:
    """Starts Ray on hosts whose processes have all ended."""

    def inflict(cluster: Cluster) -> None:
        for name in hosts:
            cluster.host(name).plug()
            cluster.start_ray(name)

    return inflict


def partition(host: str) -> Callable[[Cluster], None]:
    """A host's cable is out for a while; its processes live on, until they hear that Ray has given them up."""

    def inflict(cluster: Cluster) -> None:
        cluster.host(host).unplug()
        time.sleep(PARTITION_S)
        cluster.host(host).plug()

    return inflict


def partition_from_kafka(cluster: Cluster) -> None:
    """The host of a RoomWorker and that of Kafka do not see each other for a while."""
    host, store = cluster.host_of(cluster.find("room-worker", 0)), cluster.host("store")
    host.lose_sight_of(store)
    time.sleep(PARTITION_S)
    host.see_again(store)


def restart_broker(cluster: Cluster) -> None:
    """kill -9 of Kafka, and a new start."""
    cluster.kill_kafka()
    cluster.start_kafka()


def restart_head(cluster: Cluster) -> None:
    """kill -9 of every process of the head; its supervisor starts it again."""
    for pid in cluster.host("head").pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def drain(cluster: Cluster) -> None:
    """Ray is told that a host goes, as Kubernetes does before it takes a node away; then it goes."""
    cluster.drain("worker2")


FAULTS = (
    Fault("kill -9 of a replica", kill("recommender")),
    Fault("power cut of a host", cut_power("worker1"), gone=["worker1"], stays_away=True),
    Fault("a host joins", join("worker1"), back=["worker1"]),
    Fault("kill -9 of a host", kill_host("worker2"), gone=["worker2"], heal=join("worker2"), stays_away=True),
    Fault("kill -9 of the head, back after 5 s", restart_head, gone=["head"]),
    Fault("a worker host cut off for 10 s", on_host=partition),
    Fault("a RoomWorker's host cut off from Kafka for 10 s", partition_from_kafka),
    Fault("broker restart (kill -9)", restart_broker, kafka_away=True),
    Fault("kill -9 of a raylet", on_host=kill_raylet),
    Fault("a host is drained", drain, gone=["worker2"], heal=join("worker2"), stays_away=True),
    Fault("kill -9 of a RoomWorker", kill("room-worker")),
    Fault("kill -9 of a ProfileWorker", kill("profile-worker")),
    Fault("kill -9 of an Encoder", kill("encoder")),
)
SHORT = ("kill -9 of a replica", "power cut of a host")
