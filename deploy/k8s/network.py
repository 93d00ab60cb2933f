"""Who may reach whom: nobody, and then each way that is needed. Never opens one for all namespaces.

Ray's processes talk on ports of their own choice, so Ray's pods may reach each other on all. What Ray opens beside that
(the dashboard, 8265; HAProxy's statistics, 8404 and 9101) nobody else reaches, but for KubeRay's operator on the head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy.k8s.gcs_store import PORT as GCS_PORT
from deploy.k8s.installation import COMPONENT, PART_OF, STRIMZI_PORT, Installation, in_namespace
from deploy.k8s.kafka_cluster import CLUSTER_LABEL, kafka_peers
from deploy.k8s.manifest import Manifest, manifest

RAY_COMPONENTS = ("head", "serving", "encoder")
DASHBOARD = 8265
AGENT = 52365
API_SERVER = (443, 6443)
# an address in clouds that gives the credentials of the node itself. The workload identities of AWS (IRSA) and Azure do
# not need it; Google's does, and is not let through
METADATA = "169.254.169.254/32"
NODE_DNS = "169.254.20.10/32"  # a node's cache of names, where there is one

Peer = Mapping[str, Any]
Rule = dict[str, Any]


def network_policies(here: Installation) -> Iterator[Manifest]:
    """The policies, the refusal of everything first."""
    config, http = here.config, here.settings.http
    yield _policy(here, "deny-all", {}, ingress=[], egress=[])
    yield _policy(here, "dns", {}, egress=[_to([in_namespace("kube-system"), _block(NODE_DNS)], 53, udp=True)])
    ray = {"matchLabels": {PART_OF: config.name}, "matchExpressions": [_among(RAY_COMPONENTS)]}
    yield _policy(here, "ray", ray, ingress=[{"from": [{"podSelector": ray}]}], egress=[{"to": [{"podSelector": ray}]}])
    operator = in_namespace(config.kuberay_namespace)
    yield _policy(
        here,
        "head",
        _pods(here, "head"),
        ingress=[_from([operator], DASHBOARD, AGENT, http.port)],
        # the API is for the autoscaler, and has no label to be found by
        egress=[_to([_component(here, "gcs")], GCS_PORT), _to([_anywhere()], *API_SERVER)],
    )
    yield _policy(here, "gcs", _pods(here, "gcs"), ingress=[_from([_component(here, "head")], GCS_PORT)])
    callers = [in_namespace(name) for name in config.callers]
    monitoring = [_from([in_namespace(config.monitoring_namespace)], http.admin)] if config.monitoring else []
    pages = [_from([_component(here, "console")], http.port, http.admin)] if config.console else []
    ingress = [*([_from(callers, http.port)] if callers else []), *monitoring, *pages]
    yield _policy(here, "serving", _pods(here, "serving"), ingress=ingress, egress=[*_kafka(here), *_store(here)])
    if config.console:
        asks = [_to([_component(here, "serving")], http.port, http.admin)]
        yield _policy(here, "console", _pods(here, "console"), egress=asks)
    # from Kafka it reads which version is live, from the store that version's encoder
    egress = [*_kafka(here), *_store(here)]
    yield _policy(here, "encoder", _pods(here, "encoder"), ingress=monitoring or None, egress=egress)
    if config.train_schedule:
        yield _policy(
            here,
            "trainer",
            _pods(here, "trainer"),
            ingress=[_from([operator], DASHBOARD, AGENT)],
            egress=[*_kafka(here), *_store(here)],
        )
    if config.kafka == "strimzi":
        yield from _strimzi(here)


def _strimzi(here: Installation) -> Iterator[Manifest]:
    """The brokers and Strimzi's operators in their pods: among themselves, and for those who have a user of Kafka."""
    config = here.config
    brokers = {"matchLabels": {CLUSTER_LABEL: config.name}}
    yield _policy(
        here,
        "kafka",
        brokers,
        ingress=[
            {"from": [{"podSelector": brokers}]},
            {"from": [in_namespace(config.strimzi_namespace)]},
            _from(kafka_peers(here), STRIMZI_PORT),
        ],
        # the API is for the operators of topics and users
        egress=[{"to": [{"podSelector": brokers}]}, _to([_anywhere()], *API_SERVER)],
    )


def _kafka(here: Installation) -> list[Rule]:
    config = here.config
    if config.kafka == "strimzi":
        return [_to([{"podSelector": {"matchLabels": {CLUSTER_LABEL: config.name}}}], STRIMZI_PORT)]
    servers = here.settings.kafka.bootstrap_servers.split(",")
    ports = [config.kafka_port] if config.kafka_port else sorted({int(one.rpartition(":")[2]) for one in servers})
    return [_to([_anywhere()], *ports)]


def _store(here: Installation) -> list[Rule]:
    return [] if here.config.store_volume else [_to([_anywhere()], here.config.store_port)]


def _policy(
    here: Installation,
    name: str,
    pods: Mapping[str, Any],
    ingress: Sequence[Rule] | None = None,
    egress: Sequence[Rule] | None = None,
) -> Manifest:
    kinds = [kind for kind, rules in (("Ingress", ingress), ("Egress", egress)) if rules is not None]
    spec: dict[str, Any] = {"podSelector": dict(pods), "policyTypes": kinds}
    spec |= {kind.lower(): list(rules) for kind, rules in (("Ingress", ingress), ("Egress", egress)) if rules}
    return manifest("networking.k8s.io/v1", "NetworkPolicy", here.metadata(name), spec=spec)


def _pods(here: Installation, component: str) -> dict[str, Any]:
    return {"matchLabels": here.selector(component)}


def _component(here: Installation, component: str) -> dict[str, Any]:
    return {"podSelector": _pods(here, component)}


def _among(components: Sequence[str]) -> dict[str, Any]:
    return {"key": COMPONENT, "operator": "In", "values": list(components)}


def _block(cidr: str) -> dict[str, Any]:
    return {"ipBlock": {"cidr": cidr}}


def _anywhere() -> dict[str, Any]:
    return {"ipBlock": {"cidr": "0.0.0.0/0", "except": [METADATA]}}


def _ports(ports: Sequence[int], *, udp: bool = False) -> list[dict[str, Any]]:
    return [
        {"port": port, "protocol": protocol} for port in ports for protocol in (("UDP", "TCP") if udp else ("TCP",))
    ]


def _from(peers: Sequence[Peer], *ports: int) -> Rule:
    return {"from": list(peers), "ports": _ports(ports)}


def _to(peers: Sequence[Peer], *ports: int, udp: bool = False) -> Rule:
    return {"to": list(peers), "ports": _ports(ports, udp=udp)}
