"""The namespace, the accounts without rights, and the settings, volumes and Service of an installation. No pods."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.k8s.installation import CONFIG_FILE, Installation
from deploy.k8s.manifest import Manifest, manifest

ACCOUNTS = ("head", "worker", "trainer", "gcs", "console")


def namespace(here: Installation) -> Manifest:
    """The namespace, in which only pods without privileges are admitted."""
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    metadata = {"name": here.config.namespace, "labels": {**here.labels(), **levels}}
    return manifest("v1", "Namespace", metadata)


def accounts(here: Installation) -> Iterator[Manifest]:
    """The service accounts. None has a right; KubeRay gives the head's those of its autoscaler."""
    pull = [{"name": here.config.pull_secret}] if here.config.pull_secret else None
    for name in ACCOUNTS:
        metadata = here.metadata(name)
        yield manifest("v1", "ServiceAccount", metadata, imagePullSecrets=pull, automountServiceAccountToken=False)


def settings(here: Installation) -> Manifest:
    """The settings as pods read them."""
    return manifest("v1", "ConfigMap", here.metadata("settings"), data={CONFIG_FILE: here.toml})


def service(here: Installation) -> Manifest:
    """The Service for callers: every pod that is ready to answer.

    KubeRay makes NAME-serve-svc too, which changes over at an upgrade; with the incremental strategy there is none.
    """
    ports = [{"name": "http", "port": 80, "targetPort": "serve", "protocol": "TCP", "appProtocol": "http"}]
    spec = {"type": "ClusterIP", "selector": here.selector("serving"), "ports": ports}
    return manifest("v1", "Service", here.metadata("api", "serving"), spec=spec)


def claims(here: Installation) -> Iterator[Manifest]:
    """The volumes: of archive and registry without an object store, and of training without checkpoints in one."""
    config = here.config
    keeps_runs = config.train_schedule and not here.settings.training.checkpoints
    sizes = {"store": config.store_volume, "train": config.train_storage if keeps_runs else ""}
    for name, size in sizes.items():
        if size:
            spec = here.claim(size)
            yield manifest("v1", "PersistentVolumeClaim", here.metadata(name), spec=spec)


def budgets(here: Installation) -> Iterator[Manifest]:
    """How many pods of a part stay while nodes are drained. None where there is one: it would block the drain for ever.

    minAvailable, not maxUnavailable: for that Kubernetes asks a pod's owner for its scale, which a RayCluster has not.
    """
    encoders = here.settings.ray.encoders
    for component, pods in (("serving", here.config.serving_pods), ("encoder", encoders)):
        if pods > 1:
            spec = {
                "minAvailable": pods - 1,
                "selector": {"matchLabels": here.selector(component)},
                # else no node can be drained while Kafka is away for long, and so no pod is ready
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            }
            yield manifest("policy/v1", "PodDisruptionBudget", here.metadata(component, component), spec=spec)
