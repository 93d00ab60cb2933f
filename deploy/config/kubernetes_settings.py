"""The settings of an installation on Kubernetes: names, images, sizes. Nothing that runs reads them; manifests do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from streaming.errors import ConfigError
from streaming.section import Count, CountOrZero, Positive, Section

LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")  # RFC 1035, which KubeRay asks of its names
QUANTITY = re.compile(r"[1-9][0-9]*(Mi|Gi|Ti)")
LONGEST_NAME = 24  # `NAME-train` becomes the name of a RayJob, and that the name of a cluster: 47 characters at most


@dataclass(frozen=True, slots=True)
class KubernetesConfig(Section):
    """An installation on Kubernetes: names, images, the sizes of its pods, and who may reach them."""

    section: ClassVar[str] = "kubernetes"

    name: str = "tidecast"  # begins the name of every object
    namespace: str = "tidecast"
    image: str = "tidecast:0.1.0"  # of the pods that answer and read the log
    torch_image: str = "tidecast-torch:0.1.0"  # of the pods that encode and train: torch and the language model
    pull_secret: str = ""  # a Secret of yours with which images are pulled from a private registry; "": none is needed
    gpu: bool = False  # one nvidia.com/gpu for each Encoder and for training; torch_image must be the CUDA build
    head_cpus: Positive = 1.0
    head_memory: str = "4Gi"
    # pods in which Recommenders, RoomWorkers, ProfileWorkers and the Archiver run: least, most, and the size of each
    serving_pods: Count = 3
    most_serving_pods: Count = 8
    serving_cpus: Count = 4
    serving_memory: str = "8Gi"
    # pods in which one Encoder runs each; the numbers of Encoders are ray.encoders and scaling.encoders
    encoder_cpus: Count = 4
    encoder_memory: str = "4Gi"
    train_schedule: str = "17 3 * * *"  # of `tidecast train`, as cron has it, in UTC; "" for none
    train_cpus: Count = 4
    train_memory: str = "16Gi"
    # of a volume for training.folder: each training pod's own, or, where training.checkpoints is "", one that stays, so
    # that a run which was stopped goes on where it was
    train_storage: str = "50Gi"
    kafka: Literal["strimzi", "existing"] = "strimzi"  # existing: kafka.bootstrap_servers says where it is
    kafka_brokers: Count = 3
    kafka_storage: str = "200Gi"  # of each broker
    kafka_memory: str = "4Gi"
    storage_class: str = ""  # of all volumes; "": the cluster's default
    # a volume at /var/lib/tidecast for archive and registry, where there is one node and no object store; "" for none
    store_volume: str = ""
    console: bool = True  # a pod with the console, for who may `kubectl port-forward`
    monitoring: bool = True  # PodMonitor, PrometheusRule and dashboard; needs the Prometheus operator
    callers: tuple[str, ...] = ("ingress-nginx",)  # namespaces whose pods may ask for recommendations
    producers: tuple[str, ...] = ()  # namespaces whose pods may reach Strimzi's Kafka, beside this one
    monitoring_namespace: str = "monitoring"
    kuberay_namespace: str = "kuberay-system"
    strimzi_namespace: str = "strimzi-system"
    kafka_port: CountOrZero = 0  # of an existing Kafka, for the network policy; 0: those of kafka.bootstrap_servers
    store_port: Count = 443  # of the object store

    def check(self) -> None:
        if not LABEL.fullmatch(self.name) or len(self.name) > LONGEST_NAME:
            raise ConfigError(
                f"kubernetes.name is {self.name!r}; it must be at most {LONGEST_NAME} characters: a letter, then "
                "letters, digits and hyphens, all lower case"
            )
        for key in ("head_memory", "serving_memory", "encoder_memory", "train_memory", "kafka_memory"):
            self._require_quantity(key)
        for key in ("train_storage", "kafka_storage"):
            self._require_quantity(key)
        if self.store_volume:
            self._require_quantity("store_volume")
        if self.most_serving_pods < self.serving_pods:
            raise ConfigError(
                f"kubernetes.most_serving_pods is {self.most_serving_pods}; it must be at least serving_pods, "
                f"{self.serving_pods}"
            )

    def _require_quantity(self, key: str) -> None:
        if not QUANTITY.fullmatch(value := getattr(self, key)):
            raise ConfigError(f"kubernetes.{key} is {value!r}; it must be a size such as 8Gi")
