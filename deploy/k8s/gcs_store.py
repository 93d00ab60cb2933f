"""The Valkey in which the head of Ray keeps what it knows, so that another can take its place. Nothing else uses it.

Valkey (Redis) and not RocksDB, which Ray 2.60 has too: its volume would have to follow the head to another node, which
takes minutes where a node died, and KubeRay 1.7 has it behind a feature gate.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deploy.k8s.installation import Installation
from deploy.k8s.manifest import Manifest, manifest
from deploy.k8s.pods import CONTAINER_SECURITY, POD_SECURITY, Size

IMAGE = "docker.io/valkey/valkey:8.1"
PORT = 6379
START = """\
umask 077
printf 'appendonly yes\\nappendfsync everysec\\ndir /data\\nrequirepass "%s"\\n' "$PASSWORD" >/tmp/valkey.conf
exec valkey-server /tmp/valkey.conf
"""
PING = 'test "$(REDISCLI_AUTH="$PASSWORD" VALKEYCLI_AUTH="$PASSWORD" valkey-cli ping)" = PONG'


def gcs_store(here: Installation) -> Iterator[Manifest]:
    """The StatefulSet and its Service. The password is in a Secret that the user makes: NAME-gcs, key password."""
    labels = here.selector("gcs")
    ports = [{"name": "redis", "port": PORT, "targetPort": "redis"}]
    yield manifest(
        "v1", "Service", here.metadata("gcs", "gcs"), spec={"clusterIP": "None", "selector": labels, "ports": ports}
    )
    storage = {"storageClassName": here.config.storage_class} if here.config.storage_class else {}
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **storage},
    }
    yield manifest(
        "apps/v1",
        "StatefulSet",
        here.metadata("gcs", "gcs"),
        spec={
            "serviceName": here.named("gcs"),
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": here.labels("gcs")}, "spec": _pod(here)},
            "volumeClaimTemplates": [claim],
        },
    )


def _pod(here: Installation) -> dict[str, Any]:
    secret = {"name": here.named("gcs"), "key": "password"}
    probe = {"exec": {"command": ["/bin/sh", "-c", PING]}, "periodSeconds": 5, "timeoutSeconds": 3}
    container = {
        "name": "valkey",
        "image": IMAGE,
        "command": ["/bin/sh", "-c", START],
        "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": secret}}],
        "ports": [{"name": "redis", "containerPort": PORT}],
        "resources": Size(0.1, "256Mi").resources,
        "readinessProbe": probe,
        "livenessProbe": {**probe, "failureThreshold": 6},
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    return {
        "serviceAccountName": here.named("gcs"),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": POD_SECURITY,
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
