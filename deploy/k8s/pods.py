"""The pods of Ray: their security, environment, volumes and probes. Never says how many there are.

Everything here meets Pod Security's `restricted`: no root, no new privileges, no capabilities. The root is read-only:
what Ray writes goes to one volume at /tmp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.k8s.installation import (
    CONFIG_FOLDER,
    KAFKA_FOLDER,
    KEYS_FOLDER,
    METRICS_FOLDER,
    STORE_FOLDER,
    Installation,
    quoted,
)
from deploy.ray.cluster_host import cluster_environment
from deploy.ray.local_ray import ray_environment
from deploy.serve.leaving import FILE
from streaming.prometheus import MULTIPROCESS_DIR_VARIABLE

USER = 10001  # in the image; below 10000 a host may have a user of that number
DRAIN_S = 45  # within which replicas of a pod that goes have successors on others; these start in 10 to 40 s
UNSEEN_S = 10  # until no endpoint and no proxy sends requests to the pod any more
LEAVING_S = DRAIN_S + UNSEEN_S  # the longest before Ray gets its SIGTERM
STOP_S = 10  # for workers without successors, as when all pods are deleted, to commit and leave their groups
GRACE_S = LEAVING_S + STOP_S + 15  # then comes SIGKILL
# SIGTERM alone ends Ray with all its replicas at once. Told before, Serve starts their successors first, and stops them
# in order, with what they read committed. Where all pods go, or there is no room elsewhere, they have no successors:
# then workers are told to leave, so that their names in Kafka's groups are free at once (deploy/serve/leaving.py)
LEAVE = f"""\
node=$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | sed -n 's/^--node_id=//p' | head -n 1)
timeout {UNSEEN_S} ray drain-node --node-id "$node" --reason DRAIN_NODE_REASON_PREEMPTION \\
  --reason-message 'its pod is deleted' --deadline-remaining-seconds {DRAIN_S} >/proc/1/fd/1 2>&1
sleep {UNSEEN_S}
while grep -aqs '^ray::ServeReplica' /proc/[0-9]*/cmdline && [ $SECONDS -lt {LEAVING_S} ]; do sleep 1; done
touch {METRICS_FOLDER}/{FILE}
grep -aqs '^ray::ServeReplica' /proc/[0-9]*/cmdline && sleep {STOP_S}
"""
TRAIN_FOLDER = "/var/lib/tidecast-train"
NUMBA_SEED = "/opt/tidecast/numba"  # kernels compiled in the image
NUMBA_FOLDER = "/tmp/numba"  # their copy: numba asks for a folder that it can write to
HAPROXY = "/opt/tidecast/bin/haproxy"  # deploy/ray/haproxy.py as Serve's HAProxy: limits, our errors, nothing else open
DRAIN_AT_SIGTERM = "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"  # 0: the hook has drained; Ray waits here for a dead head
AUTOSCALER_KEEPS = ("RAY_gcs_pull_resource_loads_period_milliseconds",)  # slowed down where no autoscaler runs

# nodes with GPUs are kept free of other pods by this taint, and not every platform lets those through that ask for one
GPU_NODES = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]

CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
}
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True, slots=True)
class Size:
    """What a pod gets. memory is a limit too; processor time is not, so that a burst may use what is idle."""

    cpus: float
    memory: str
    gpus: int = 0

    @property
    def resources(self) -> dict[str, Any]:
        """Requests and limits. A GPU is always both."""
        gpus = {"nvidia.com/gpu": str(self.gpus)} if self.gpus else {}
        cpus = str(int(self.cpus)) if self.cpus == int(self.cpus) else f"{round(self.cpus * 1000)}m"
        return {"requests": {"cpu": cpus, "memory": self.memory, **gpus}, "limits": {"memory": self.memory, **gpus}}


@dataclass(frozen=True, slots=True)
class RayPod:
    """A pod of Ray of one component. kafka: the components whose Kafka users it needs. extra: volumes by mount path."""

    component: str
    container: str
    image: str
    size: Size
    account: str
    kafka: Sequence[str] = ()
    store: bool = False
    ports: Mapping[str, int] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    readiness: Mapping[str, Any] | None = None  # None: what KubeRay injects
    spread: bool = False
    has_replicas: bool = False  # of Serve, which are led away before it ends

    def template(self, here: Installation) -> dict[str, Any]:
        """The pod's template."""
        volumes, mounts = self._volumes(here)
        container: dict[str, Any] = {
            "name": self.container,
            "image": self.image,
            "env": [{"name": name, "value": value} for name, value in sorted(self._environment(here).items())],
            **self._env_from(here),
            "ports": [{"name": name, "containerPort": port} for name, port in self.ports.items()],
            "resources": self.size.resources,
            "securityContext": CONTAINER_SECURITY,
            "volumeMounts": mounts,
        }
        if self.has_replicas:
            container["lifecycle"] = {"preStop": {"exec": {"command": ["/bin/bash", "-c", LEAVE]}}}
        if self.readiness is not None:
            container["readinessProbe"] = dict(self.readiness)
        spec = {
            "serviceAccountName": here.named(self.account),
            "automountServiceAccountToken": False,
            # a Service named tidecast-http would set TIDECAST_HTTP_PORT, which reads like a setting
            "enableServiceLinks": False,
            "securityContext": POD_SECURITY,
            "terminationGracePeriodSeconds": GRACE_S,
            "initContainers": [self._seed(mounts)],
            "containers": [container],
            "volumes": volumes,
        }
        if self.size.gpus:
            spec["tolerations"] = GPU_NODES
        if self.spread:
            spec["topologySpreadConstraints"] = spread(here, self.component)
        annotations = {"tidecast/settings": here.digest}
        return {"metadata": {"labels": here.labels(self.component), "annotations": annotations}, "spec": spec}

    def _seed(self, mounts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Copies the compiled kernels to where numba may write, and makes the folder of metrics."""
        return {
            "name": "seed-kernels",
            "image": self.image,
            "command": [
                "/bin/bash",
                "-c",
                f"mkdir -p {NUMBA_FOLDER} {METRICS_FOLDER} && cp -r {NUMBA_SEED}/. {NUMBA_FOLDER}/",
            ],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}},
            "securityContext": CONTAINER_SECURITY,
            "volumeMounts": [mount for mount in mounts if mount["mountPath"] == "/tmp"],
        }

    def _environment(self, here: Installation) -> dict[str, str]:
        ray = {name: value for name, value in ray_environment().items() if name not in AUTOSCALER_KEEPS}
        return {
            **ray,
            **cluster_environment(),
            **({DRAIN_AT_SIGTERM: "0"} if self.has_replicas else {}),
            "HOME": "/tmp",
            "RAY_LOG_TO_STDERR": "1",  # else Ray keeps what its processes print in files, out of `kubectl logs`
            "NUMBA_CACHE_DIR": NUMBA_FOLDER,
            MULTIPROCESS_DIR_VARIABLE: METRICS_FOLDER,
            "RAY_SERVE_HAPROXY_BINARY_PATH": HAPROXY,
            "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deploy.ray.server_tick.tick_less",
            "PROXY_LIMITS": quoted(here.settings.http.limits._asdict()),
            **self.environment,
        }

    def _env_from(self, here: Installation) -> dict[str, Any]:
        """Credentials of the object store. Optional: a cloud's workload identity needs none."""
        if not self.store or here.config.store_volume:
            return {}
        return {"envFrom": [{"secretRef": {"name": here.named("store"), "optional": True}}]}

    def _volumes(self, here: Installation) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The volumes and their mounts."""
        wanted: dict[str, Mapping[str, Any]] = {
            "/tmp": {"emptyDir": {}},
            CONFIG_FOLDER: {"configMap": {"name": here.named("settings")}},
            **self.extra,
        }
        if self.kafka:
            wanted[KAFKA_FOLDER] = {"projected": {"sources": kafka_secrets(here, self.kafka)}}
        if self.store and here.config.store_volume:
            wanted[STORE_FOLDER] = {"persistentVolumeClaim": {"claimName": here.named("store")}}
        read_only = (CONFIG_FOLDER, KAFKA_FOLDER, KEYS_FOLDER)
        volumes, mounts = [], []
        for path, source in wanted.items():
            name = path.strip("/").replace("/", "-")
            volumes.append({"name": name, **source})
            mounts.append({"name": name, "mountPath": path, **({"readOnly": True} if path in read_only else {})})
        return volumes, mounts


def kafka_secrets(here: Installation, components: Sequence[str]) -> list[dict[str, Any]]:
    """What is in the folder of Kafka's passwords and authority: Strimzi's Secrets, or one that the user makes."""
    if here.config.kafka == "existing":
        items = [{"key": "password", "path": "password"}, {"key": "ca.crt", "path": "ca/ca.crt"}]
        return [{"secret": {"name": here.named("kafka"), "items": items}}]
    authority = {"name": here.named("cluster-ca-cert"), "items": [{"key": "ca.crt", "path": "ca/ca.crt"}]}
    users = [
        {"name": here.named(component), "items": [{"key": "password", "path": f"{component}/password"}]}
        for component in components
    ]
    return [{"secret": secret} for secret in (authority, *users)]


def spread(here: Installation, component: str) -> list[dict[str, Any]]:
    """Pods of a component over zones and nodes, as far as there are some: to wait is worse than to be crowded."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": here.selector(component)},
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]
