"""The console's pod, and the Service of the admin port that it asks. Never lets anybody in from outside the pod.

The console asks for no password, so it listens on the loopback address of its pod. Whoever may `kubectl port-forward`
to it reaches it, and nobody else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deploy.k8s.installation import CONFIG_FILE, CONFIG_FOLDER, Installation
from deploy.k8s.manifest import Manifest, manifest
from deploy.k8s.pods import CONTAINER_SECURITY, POD_SECURITY, Size

PORT = 8080
READY = f"wget -T 2 -q -O /dev/null http://127.0.0.1:{PORT}/"
TOKEN = "token"  # in the Secret NAME-console: an API key


def console(here: Installation) -> Iterator[Manifest]:
    """The Deployment, and the Service of the admin port of all `serving` pods."""
    ports = [{"name": "admin", "port": here.settings.http.admin, "targetPort": "admin", "protocol": "TCP"}]
    spec = {"type": "ClusterIP", "selector": here.selector("serving"), "ports": ports}
    yield manifest("v1", "Service", here.metadata("admin", "serving"), spec=spec)
    yield manifest(
        "apps/v1",
        "Deployment",
        here.metadata("console", "console"),
        spec={
            "replicas": 1,
            "selector": {"matchLabels": here.selector("console")},
            "template": {
                "metadata": {"labels": here.labels("console"), "annotations": {"tidecast/settings": here.digest}},
                "spec": _pod(here),
            },
        },
    )


def _pod(here: Installation) -> dict[str, Any]:
    probe = {"exec": {"command": ["/bin/bash", "-c", READY]}, "periodSeconds": 10, "timeoutSeconds": 3}
    container = {
        "name": "console",
        "image": here.config.image,
        "command": ["tidecast", "--config", f"{CONFIG_FOLDER}/{CONFIG_FILE}", "console", "--no-browser"],
        "workingDir": "/tmp",
        "env": _environment(here),
        "ports": [{"name": "pages", "containerPort": PORT}],
        "resources": Size(0.1, "512Mi").resources,
        "readinessProbe": {**probe, "initialDelaySeconds": 5},
        "livenessProbe": {**probe, "initialDelaySeconds": 30, "failureThreshold": 6},
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [
            {"name": "settings", "mountPath": CONFIG_FOLDER, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    return {
        "serviceAccountName": here.named("console"),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": POD_SECURITY,
        "containers": [container],
        "volumes": [
            {"name": "settings", "configMap": {"name": here.named("settings")}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }


def _environment(here: Installation) -> list[dict[str, Any]]:
    """Where the console asks, and the key with which it does: from a Secret, where callers need one."""
    values = {
        "HOME": "/tmp",
        "TIDECAST_CONSOLE__ADMIN_URL": f"http://{here.named('admin')}:{here.settings.http.admin}",
        "TIDECAST_CONSOLE__PORT": str(PORT),
        "TIDECAST_CONSOLE__URL": f"http://{here.named('api')}:80",
    }
    found: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in values.items()]
    if here.settings.http.keys_file:
        secret = {"name": here.named("console"), "key": TOKEN, "optional": True}
        found.append({"name": "TIDECAST_HTTP__TOKEN", "valueFrom": {"secretKeyRef": secret}})
    return found
