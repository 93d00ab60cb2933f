"""The RayService: the cluster's head and its groups of workers, and how it is replaced. Never says what a pod is."""

from __future__ import annotations

from typing import Any

import ray

from deploy.k8s.installation import KEYS_FOLDER, METRICS_FOLDER, Installation
from deploy.k8s.manifest import Manifest, manifest
from deploy.k8s.pods import CONTAINER_SECURITY, RayPod, Size
from deploy.k8s.serve_config import as_text, serve_config
from deploy.serve.app import ENCODER_RESOURCE, SERVING_RESOURCE
from deploy.serve.profile_lookup import PROFILES

TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_VOLUME = "autoscaler-token"
SERVING_USERS = ("recommender", "room-worker", "profile-worker", "archiver")
OLD_CLUSTER_S = 120  # after the switch, so that what is under way ends: longer than any request and any drain


def ray_service(here: Installation) -> Manifest:
    """The RayService."""
    return manifest(
        "ray.io/v1",
        "RayService",
        here.metadata(),
        spec={
            # A change of pods makes a whole new cluster, and traffic goes over once it is healthy. The incremental
            # strategy scales workers by target_capacity too, and needs a Gateway in place of the Service
            "upgradeStrategy": {"type": "NewCluster"},
            "rayClusterDeletionDelaySeconds": OLD_CLUSTER_S,
            "excludeHeadPodFromServeSvc": True,
            "serveConfigV2": as_text(serve_config(here)),
            "rayClusterConfig": ray_cluster(here),
        },
    )


def ray_cluster(here: Installation) -> dict[str, Any]:
    """The specification of the cluster."""
    return {
        "rayVersion": ray.__version__,
        "authOptions": {"mode": "token"},  # Ray runs code that it is sent: not without the secret that KubeRay makes
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": _autoscaler(here),
        # Without an externalStorageNamespace, each cluster gets its own: the two of an upgrade must not share one
        "gcsFaultToleranceOptions": {
            "redisAddress": f"{here.named('gcs')}:6379",
            "redisPassword": {"valueFrom": {"secretKeyRef": {"name": here.named("gcs"), "key": "password"}}},
        },
        "headGroupSpec": _head(here),
        "workerGroupSpecs": [_serving(here), _encoder(here)],
    }


def _autoscaler(here: Installation) -> dict[str, Any]:
    """The autoscaler beside the head. It alone has a token for the API: KubeRay binds the rights to the account."""
    return {
        "version": "v2",
        "idleTimeoutSeconds": 120,
        "upscalingMode": "Default",
        "image": here.config.image,  # else KubeRay's default: the head's, which is the same
        "imagePullPolicy": "IfNotPresent",
        "securityContext": CONTAINER_SECURITY,  # without it, `restricted` refuses the head
        "resources": {"requests": {"cpu": "200m", "memory": "512Mi"}, "limits": {"memory": "512Mi"}},
        "volumeMounts": [
            {"name": TOKEN_VOLUME, "mountPath": TOKEN_FOLDER, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }


def _token() -> dict[str, Any]:
    """The volume that Kubernetes mounts by itself where it is not switched off: here, for one container only."""
    authority = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "name": TOKEN_VOLUME,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                {"configMap": authority},
                {"downwardAPI": {"items": [namespace]}},
            ]
        },
    }


def _head(here: Installation) -> dict[str, Any]:
    pod = RayPod(
        component="head",
        container="ray-head",
        image=here.config.image,
        size=Size(here.config.head_cpus, here.config.head_memory),
        account="head",
        ports={"gcs-server": 6379, "dashboard": 8265, "client": 10001, "serve": here.settings.http.port},
    )
    template = pod.template(here)
    template["spec"]["volumes"].append(_token())
    # num-cpus 0: no replica runs on the head, so that its end costs no answer
    parameters = {"dashboard-host": "0.0.0.0", "num-cpus": "0", "object-store-memory": _object_store(here)}
    return {"rayStartParams": parameters, "template": template}


def _serving(here: Installation) -> dict[str, Any]:
    config, http = here.config, here.settings.http
    pod = RayPod(
        component="serving",
        container="ray-worker",
        image=config.image,
        size=Size(config.serving_cpus, config.serving_memory),
        account="worker",
        kafka=SERVING_USERS,
        store=True,
        ports={"serve": http.port, "admin": http.admin},
        extra={**_keys(here), **_profiles(here)},
        readiness=_answers(http.port),
        spread=config.serving_pods > 1,
        has_replicas=True,
    )
    return {
        "groupName": "serving",
        "minReplicas": config.serving_pods,
        "replicas": config.serving_pods,
        "maxReplicas": config.most_serving_pods,
        "rayStartParams": {"object-store-memory": _object_store(here)},
        "resources": {"CPU": str(config.serving_cpus), SERVING_RESOURCE: "1"},
        "template": pod.template(here),
    }


def _keys(here: Installation) -> dict[str, Any]:
    """The volume of the API keys, where callers need some."""
    return {KEYS_FOLDER: {"secret": {"secretName": here.named("keys")}}} if here.settings.http.keys_file else {}


def _profiles(here: Installation) -> dict[str, Any]:
    """The volume of ProfileWorkers' files: a cache of the log, which goes with the pod."""
    config, workers = here.settings.profile_worker, here.settings.ray.profile_workers
    if config.folder or not config.disk_mb:
        return {}
    # all may be in one pod, each has files twice while another takes over, and some is for write-ahead logs
    most_mb = 2 * here.settings.scaling.most("profile_workers", workers) * config.disk_mb + 1_024
    return {f"{METRICS_FOLDER}/{PROFILES}": {"emptyDir": {"sizeLimit": f"{most_mb}Mi"}}}


def _encoder(here: Installation) -> dict[str, Any]:
    """One pod for each Encoder. Others stay away: they need `serving`, of which it has none."""
    config, ray_config = here.config, here.settings.ray
    gpus = int(config.gpu)
    pod = RayPod(
        component="encoder",
        container="ray-worker",
        image=config.torch_image,
        size=Size(config.encoder_cpus, config.encoder_memory, gpus),
        account="worker",
        kafka=("encoder",),
        store=True,
        ports={"serve": here.settings.http.port, "admin": here.settings.http.admin},
        spread=ray_config.encoders > 1,
        has_replicas=True,
    )
    resources = {"CPU": str(config.encoder_cpus), ENCODER_RESOURCE: "1", **({"GPU": "1"} if gpus else {})}
    return {
        "groupName": "encoder",
        "minReplicas": ray_config.encoders,
        "replicas": ray_config.encoders,
        "maxReplicas": here.settings.scaling.most("encoders", ray_config.encoders),
        "rayStartParams": {"object-store-memory": _object_store(here)},
        "resources": resources,
        "template": pod.template(here),
    }


def _object_store(here: Installation) -> str:
    return str(here.settings.ray.object_store_mb << 20)


def _answers(port: int) -> dict[str, Any]:
    """Ready is a pod through whose own proxy answers come from tables that have been read."""
    return {
        "exec": {"command": ["/bin/bash", "-c", f"wget -T 2 -q -O /dev/null http://localhost:{port}/readyz"]},
        "initialDelaySeconds": 10,
        "periodSeconds": 5,
        "timeoutSeconds": 3,
        "failureThreshold": 2,
    }
