"""The Kafka that Strimzi runs for an installation: brokers and topics. Never says who may do what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deploy.k8s.installation import COMPONENT, PART_OF, STRIMZI_PORT, Installation, in_namespace
from deploy.k8s.manifest import Manifest, manifest
from deploy.k8s.pods import CONTAINER_SECURITY, Size, spread
from streaming.log.topic_check import settings_of
from streaming.log.topics import TOPICS

CLUSTER_LABEL, POOL_LABEL = "strimzi.io/cluster", "strimzi.io/pool-name"
API = "kafka.strimzi.io/v1"
# Strimzi's images keep their root writable, and run as a user of their own
SECURITY = {name: value for name, value in CONTAINER_SECURITY.items() if name != "readOnlyRootFilesystem"}
POD = {"securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}}


def kafka_cluster(here: Installation) -> Iterator[Manifest]:
    """The cluster and its pools: brokers and, where there are several, controllers on pods of their own."""
    brokers = here.config.kafka_brokers
    yield manifest(API, "Kafka", here.metadata(), spec={"kafka": _kafka(here), "entityOperator": _entity_operator()})
    if brokers == 1:
        yield _pool(here, "broker", 1, ["controller", "broker"])
    else:
        yield _pool(here, "controller", 3, ["controller"], storage="10Gi")
        yield _pool(here, "broker", brokers, ["broker"])


def kafka_topics(here: Installation) -> Iterator[Manifest]:
    """The topics, with the settings that `tidecast topics` gives them."""
    topics = here.settings.topics
    for topic in TOPICS.values():
        metadata = here.metadata(topic.name)
        metadata["labels"][CLUSTER_LABEL] = here.config.name
        spec = {
            "topicName": topics.prefix + topic.name,
            "partitions": topics.partitions_of(topic),
            "replicas": topics.replication_factor,
            "config": settings_of(topic, topics.replication_factor),
        }
        yield manifest(API, "KafkaTopic", metadata, spec=spec)


def kafka_peers(here: Installation) -> list[dict[str, Any]]:
    """Who reaches the brokers: our pods that have a user of Kafka, and the namespaces of producers."""
    users = {
        "matchLabels": {PART_OF: here.config.name},
        "matchExpressions": [{"key": COMPONENT, "operator": "In", "values": ["serving", "encoder", "trainer"]}],
    }
    return [{"podSelector": users}, *(in_namespace(name) for name in here.config.producers)]


def _kafka(here: Installation) -> dict[str, Any]:
    copies = min(3, here.config.kafka_brokers)
    listener = {
        "name": "tls",
        "port": STRIMZI_PORT,
        "type": "internal",
        "tls": True,
        "authentication": {"type": "scram-sha-512"},
        "networkPolicyPeers": kafka_peers(
            here
        ),  # without it Strimzi's own policy lets everybody in, and policies add up
    }
    return {
        "listeners": [listener],
        "authorization": {"type": "simple"},
        "config": {
            "auto.create.topics.enable": False,
            "default.replication.factor": copies,
            "min.insync.replicas": max(1, copies - 1),
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": max(1, copies - 1),
            # else what a killed worker has left open hides records for up to 10 s beyond its limit
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
        },
    }


def _entity_operator() -> dict[str, Any]:
    """The operators that make topics and users of their resources."""
    container = {"securityContext": SECURITY}
    template = {"pod": POD, "topicOperatorContainer": container, "userOperatorContainer": container}
    resources = {"resources": Size(0.1, "512Mi").resources}
    return {"topicOperator": resources, "userOperator": resources, "template": template}


def _pool(here: Installation, name: str, replicas: int, roles: list[str], storage: str = "") -> Manifest:
    # a pool's name becomes a part of its pods' names after the cluster's
    metadata = {**here.metadata(), "name": name}
    metadata["labels"][CLUSTER_LABEL] = here.config.name
    storage_class = {"class": here.config.storage_class} if here.config.storage_class else {}
    volume = {
        "id": 0,
        "type": "persistent-claim",
        "size": storage or here.config.kafka_storage,
        "deleteClaim": False,
        "kraftMetadata": "shared",
        **storage_class,
    }
    size = Size(0.5, here.config.kafka_memory if "broker" in roles else "1Gi")
    spec = {
        "replicas": replicas,
        "roles": roles,
        "resources": size.resources,
        "storage": {"type": "jbod", "volumes": [volume]},
        "template": {
            "pod": {**POD, "topologySpreadConstraints": _spread(here, name), "terminationGracePeriodSeconds": 120},
            "kafkaContainer": {"securityContext": SECURITY},
        },
    }
    return manifest(API, "KafkaNodePool", metadata, spec=spec)


def _spread(here: Installation, pool: str) -> list[dict[str, Any]]:
    """The spread of our own pods, by Strimzi's labels. Each pool for itself: else all brokers may be in one zone."""
    selector = {"matchLabels": {CLUSTER_LABEL: here.config.name, POOL_LABEL: pool}}
    return [{**one, "labelSelector": selector} for one in spread(here, "kafka")]
