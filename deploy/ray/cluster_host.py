"""The environment of one host of a Ray cluster, to be set before its `ray start`. Never starts Ray.

A cluster of several hosts needs more than a Ray of our own: limits after which a silent host counts as gone, the store
in which the head keeps what it knows, and HAProxy with our limits on each host. Reasons: docs/serving.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.config.proxy_limits import ProxyLimits
from deploy.ray.haproxy_home import ClusterError, haproxy_environment
from deploy.ray.local_ray import patient_environment, serve_environment
from streaming.machine.private_folder import make_private

HOST_FOLDER = "TIDECAST_HOST_FOLDER"  # processes of the application find their metrics' folder by it
LONGEST_FOLDER = 26  # a socket's path has 97 at most in HAProxy; a node's id of 56 and "metrics.sock" come behind it
PATIENCE = 2.0  # times Ray's own limits on a start: a host that starts everything at once is busy
HEAD_AWAY_S = 600  # hosts work on without the head for so long; by default they end after 60 s
ORPHANED_MS = 3_000  # for a worker to leave its group after its raylet's end: a turn, a commit and a request


@dataclass(frozen=True, slots=True)
class ClusterHost:
    """One host. folder: for HAProxy and metrics, its own and short. redis: the head's store, "" for none.

    namespace: a name in Redis for what the head keeps there, one per cluster.
    """

    folder: Path
    redis: str = ""
    namespace: str = ""

    def environment(self, limits: ProxyLimits) -> Mapping[str, str]:
        """The environment of `ray start` on this host. Makes the folder. Raises ClusterError."""
        proxy = self.folder / "h"
        if len(str(proxy)) > LONGEST_FOLDER:
            raise ClusterError(f"{proxy} is too long for HAProxy's sockets; {LONGEST_FOLDER} characters fit")
        make_private(self.folder)
        return {
            **cluster_environment(),
            **haproxy_environment(proxy, limits),
            **self._store(),
            HOST_FOLDER: str(self.folder),
            "PYTHONPATH": _import_path(),
        }

    def _store(self) -> Mapping[str, str]:
        if not self.redis:
            return {}
        return {"RAY_REDIS_ADDRESS": self.redis, "RAY_external_storage_namespace": self.namespace}


def cluster_environment() -> Mapping[str, str]:
    """What every host of a cluster needs, whoever starts Ray there: `ray start` in a shell, or KubeRay in a pod."""
    return {
        **serve_environment(),
        **patient_environment(PATIENCE),
        **silence_limits(),
        "RAY_gcs_rpc_server_reconnect_timeout_s": str(HEAD_AWAY_S),
        "RAY_raylet_death_check_interval_milliseconds": str(ORPHANED_MS),
    }


def silence_limits() -> Mapping[str, str]:
    """When a host that says nothing counts as gone: after three checks, 9 s at most, not half a minute."""
    return {
        "RAY_health_check_initial_delay_ms": "1000",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "2000",
        "RAY_health_check_failure_threshold": "3",
    }


def _import_path() -> str:
    """The places where Ray's processes find what makes them start faster, and our code: a checkout's folder."""
    root = Path(__file__).resolve().parents[2]
    places = [str(Path(__file__).with_name("interpreter"))]
    if (root / "pyproject.toml").exists():
        places.append(str(root))
    before = (place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place)
    return os.pathsep.join(dict.fromkeys([*places, *before]))
