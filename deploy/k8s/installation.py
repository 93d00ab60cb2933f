"""What every manifest of an installation shares: names, labels, places in the pods, the settings as pods read them.

Never makes a manifest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from deploy.config.kubernetes_settings import KubernetesConfig
from deploy.config.settings import Settings
from deploy.config.toml_text import as_toml
from streaming.errors import ConfigError
from streaming.masked_uri import masked_uri

PART_OF = "app.kubernetes.io/part-of"
COMPONENT = "app.kubernetes.io/component"
NAME = "app.kubernetes.io/name"  # KubeRay sets it on its pods where it is not set: kuberay

CONFIG_FILE = "tidecast.toml"
CONFIG_FOLDER = "/etc/tidecast"
KAFKA_FOLDER = "/etc/tidecast-kafka"
KEYS_FOLDER, KEYS_FILE = "/etc/tidecast-keys", "keys.toml"
STORE_FOLDER = "/var/lib/tidecast"
METRICS_FOLDER = "/tmp/tidecast-metrics"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
STRIMZI_PORT = 9093


@dataclass(frozen=True, slots=True)
class Installation:
    """One installation: the settings as its pods read them. Made by `installation`."""

    settings: Settings

    @property
    def config(self) -> KubernetesConfig:
        """The settings of the installation itself."""
        return self.settings.kubernetes

    def named(self, what: str = "") -> str:
        """The name of an object of the installation."""
        return f"{self.config.name}-{what}" if what else self.config.name

    def labels(self, component: str = "") -> dict[str, str]:
        """The labels by which objects of the installation are found, and, with a component, those of one part.

        Nothing selects by `ray.io/cluster`: an upgrade makes a cluster with another name beside the old one.
        """
        ours = {PART_OF: self.config.name}
        return {**ours, NAME: "tidecast", COMPONENT: component} if component else ours

    def selector(self, component: str) -> dict[str, str]:
        """The labels that select the pods of one part."""
        return {PART_OF: self.config.name, COMPONENT: component}

    def metadata(self, what: str = "", component: str = "", **more: Any) -> dict[str, Any]:
        """The metadata of an object of the installation."""
        name = {"name": self.named(what), "namespace": self.config.namespace}
        return {**name, "labels": self.labels(component), **more}

    def claim(self, size: str) -> dict[str, Any]:
        """The claim of a volume of this size, for one node at a time."""
        storage_class = {"storageClassName": self.config.storage_class} if self.config.storage_class else {}
        return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **storage_class}

    @property
    def toml(self) -> str:
        """The settings' file in the pods: what differs from the defaults. Holds no secret, and nothing of manifests."""
        in_pods = dataclasses.replace(self.settings, kubernetes=KubernetesConfig())
        return as_toml(in_pods, but=Settings(), comment="What pods read; the source is the installation's TOML.")

    @property
    def digest(self) -> str:
        """Changes when the settings do. An annotation with it makes a new cluster of a change, with new pods."""
        return hashlib.sha256(self.toml.encode()).hexdigest()[:16]


def installation(settings: Settings) -> Installation:
    """The installation of these settings. Raises ConfigError: they are of one machine."""
    gpus = float(settings.kubernetes.gpu)
    if settings.ray.encoder_gpus not in (0.0, gpus):
        raise ConfigError(
            f"ray.encoder_gpus is {settings.ray.encoder_gpus}; on Kubernetes, kubernetes.gpu says it: {gpus}"
        )
    ray = dataclasses.replace(settings.ray, address="auto", split_nodes=True, encoder_gpus=gpus)
    settings = dataclasses.replace(settings, ray=ray)
    if not (settings.http.open or settings.http.keys_file):
        http = dataclasses.replace(settings.http, keys_file=f"{KEYS_FOLDER}/{KEYS_FILE}")
        settings = dataclasses.replace(settings, http=http)
    if settings.kubernetes.kafka == "strimzi":
        settings = dataclasses.replace(settings, kafka=_strimzi(settings))
    _require_a_cluster(settings)
    return Installation(settings)


def _strimzi(settings: Settings) -> Any:
    """How pods reach the Kafka that Strimzi runs for the installation: SCRAM over TLS, a user for each component."""
    name = settings.kubernetes.name
    return dataclasses.replace(
        settings.kafka,
        bootstrap_servers=f"{name}-kafka-bootstrap:{STRIMZI_PORT}",
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_plain_username=f"{name}-{{component}}",
        sasl_credentials_file=f"{KAFKA_FOLDER}/{{component}}/password",
        ssl_cafile=f"{KAFKA_FOLDER}/ca/ca.crt",
    )


def _require_a_cluster(settings: Settings) -> None:
    """Raises ConfigError: what the settings say holds on one machine only."""
    http, kubernetes = settings.http, settings.kubernetes
    for name, host in (("http.host", http.host), ("http.admin_host", http.admin_host)):
        if host in LOOPBACK:
            raise ConfigError(f"{name} is {host}, which no other pod reaches; on Kubernetes it is 0.0.0.0")
    if http.keys_file and http.keys_file != f"{KEYS_FOLDER}/{KEYS_FILE}":
        raise ConfigError(
            f"http.keys_file is {http.keys_file!r}; on Kubernetes leave it out: the Secret {kubernetes.name}-keys has "
            "the file"
        )
    if not settings.kafka.bootstrap_servers:
        raise ConfigError("kafka.bootstrap_servers is empty; with kubernetes.kafka = existing, say where Kafka is")
    places = {
        "archive.uri": settings.archive.uri,
        "registry.uri": settings.registry.uri,
        "training.checkpoints": settings.training.checkpoints,
    }
    for name, uri in places.items():
        at_store = kubernetes.store_volume and uri.startswith(f"file://{STORE_FOLDER}")
        if masked_uri(uri) != uri:
            raise ConfigError(f"{name} holds a password; put it into the Secret {kubernetes.name}-store instead")
        remote = "://" in uri and not uri.startswith("file://")
        if uri and not at_store and not remote:
            raise ConfigError(
                f"{name} is {uri!r}, a place in one pod; give a URI that all pods reach, such as s3://bucket/folder, "
                f"or kubernetes.store_volume and file://{STORE_FOLDER}/..."
            )
    _require_room(settings)
    if settings.training.every_s:
        raise ConfigError("training.every_s is set; on Kubernetes, kubernetes.train_schedule says when to train")


def _require_room(settings: Settings) -> None:
    """Raises ConfigError: replicas would wait for a pod for ever, because each pod takes only so many."""
    per_pod, pods = settings.ray.replicas_per_host, settings.kubernetes.most_serving_pods
    most = settings.scaling.most("recommenders", settings.http.replicas)
    if per_pod and most > per_pod * pods:
        raise ConfigError(
            f"there may be {most} Recommenders, but {pods} pods with ray.replicas_per_host = {per_pod} hold "
            f"{per_pod * pods}; raise kubernetes.most_serving_pods, or give less for scaling.recommenders"
        )


def in_namespace(name: str) -> dict[str, Any]:
    """All pods of a namespace, as a network policy has it."""
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def quoted(value: Any) -> str:
    """A value inside an environment variable or an argument, as JSON."""
    return json.dumps(value, separators=(",", ":"))
