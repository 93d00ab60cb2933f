"""Nothing is open that nobody asked for: a judge of the policies, asked who may reach whom on which port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from deploy.k8s.overlays import OVERLAYS, configured, manifests
from tests.unit.deploy.k8s.made import here, of_kind, pod_templates

OPERATOR = {"kubernetes.io/metadata.name": "kuberay-system"}
CALLERS = {"kubernetes.io/metadata.name": "ingress-nginx"}
PROMETHEUS = {"kubernetes.io/metadata.name": "monitoring"}
STRANGER = {"kubernetes.io/metadata.name": "default"}
OURS = {"kubernetes.io/metadata.name": "tidecast"}
BROKER = {"strimzi.io/cluster": "tidecast"}


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    expressions = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in expressions), "the judge knows no other"
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(one["key"]) in one["values"] for one in expressions
    )


def enters(
    overlay: str, to: Mapping[str, str], port: int, *, pod: Mapping[str, str], namespace: Mapping[str, str]
) -> bool:
    """Whether a pod of a namespace may reach a pod of ours on a port: what policies allow adds up."""
    policies = [one["spec"] for one in of_kind(overlay, "NetworkPolicy") if matches(one["spec"]["podSelector"], to)]
    assert any("Ingress" in one["policyTypes"] for one in policies), "else everything is open"
    for rule in (rule for one in policies for rule in one.get("ingress", [])):
        if "ports" in rule and port not in [one["port"] for one in rule["ports"]]:
            continue
        for peer in rule["from"]:
            same = matches(peer["namespaceSelector"], namespace) if "namespaceSelector" in peer else namespace == OURS
            if same and matches(peer.get("podSelector", {}), pod):
                return True
    return False


def labels(overlay: str, name: str) -> Mapping[str, str]:
    found: Mapping[str, str] = dict(pod_templates(overlay))[name]["metadata"]["labels"]
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_first_policy_refuses_everything_to_every_pod(overlay: str) -> None:
    first = of_kind(overlay, "NetworkPolicy")[0]["spec"]
    assert first == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("name", ["head", "serving", "encoder", "trainer", "tidecast-gcs"])
def test_a_stranger_reaches_no_pod_on_any_port(overlay: str, name: str) -> None:
    for port in (80, 6379, 8000, 8001, 8265, 8404, 9101, 10001, 52365):
        assert not enters(overlay, labels(overlay, name), port, pod={}, namespace=STRANGER)
        assert not enters(overlay, labels(overlay, name), port, pod={"app": "other"}, namespace=OURS)


def test_callers_reach_answers_and_nothing_else() -> None:
    serving = labels("prod", "serving")
    assert enters("prod", serving, 8000, pod={}, namespace=CALLERS)
    for port in (8001, 8265, 8404, 9101):
        assert not enters("prod", serving, port, pod={}, namespace=CALLERS)
    assert not enters("prod", labels("prod", "head"), 8000, pod={}, namespace=CALLERS)


def test_prometheus_reaches_metrics_alone() -> None:
    for name in ("serving", "encoder"):
        assert enters("prod", labels("prod", name), 8001, pod={}, namespace=PROMETHEUS)
        assert not enters("prod", labels("prod", name), 8000, pod={}, namespace=PROMETHEUS)


def test_the_operator_reaches_the_dashboards_with_which_it_deploys_and_trains() -> None:
    for name in ("head", "trainer"):
        assert enters("prod", labels("prod", name), 8265, pod={}, namespace=OPERATOR)
        assert not enters("prod", labels("prod", name), 6379, pod={}, namespace=OPERATOR)


def test_pods_of_ray_reach_each_other_on_every_port_and_the_trainer_does_not() -> None:
    ray = [labels("prod", name) for name in ("head", "serving", "encoder")]
    assert all(enters("prod", one, 43_210, pod=other, namespace=OURS) for one in ray for other in ray)
    assert not any(enters("prod", one, 43_210, pod=labels("prod", "trainer"), namespace=OURS) for one in ray)


def test_the_password_store_of_the_head_is_for_the_head() -> None:
    store = labels("prod", "tidecast-gcs")
    assert enters("prod", store, 6379, pod=labels("prod", "head"), namespace=OURS)
    assert not enters("prod", store, 6379, pod=labels("prod", "serving"), namespace=OURS)


def test_kafka_is_for_those_who_have_a_user_and_for_the_brokers_themselves() -> None:
    for name in ("serving", "encoder", "trainer"):
        assert enters("prod", BROKER, 9093, pod=labels("prod", name), namespace=OURS)
    assert not enters("prod", BROKER, 9093, pod=labels("prod", "head"), namespace=OURS)
    assert not enters("prod", BROKER, 9093, pod={}, namespace=STRANGER)
    assert enters("prod", BROKER, 9091, pod=BROKER, namespace=OURS)


@pytest.mark.parametrize("producers", [[], ["platform"]])
def test_the_policy_that_strimzi_makes_itself_lets_in_no_more_than_ours(producers: list[str]) -> None:
    """A listener without peers is open to the whole cluster, whatever our policy says: what policies allow adds up."""
    changed = manifests(configured("prod", None, [f"kubernetes.producers={','.join(producers)}"]))
    (listener,) = next(one for one in changed if one["kind"] == "Kafka")["spec"]["kafka"]["listeners"]
    ours = next(one["spec"] for one in changed if one["metadata"]["name"] == "tidecast-kafka")
    (rule,) = (rule for rule in ours["ingress"] if rule.get("ports") == [{"port": 9093, "protocol": "TCP"}])
    assert listener["networkPolicyPeers"] == rule["from"]
    assert len(rule["from"]) == 1 + len(producers)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_that_speak_to_kafka_and_to_the_store_may_leave_for_them(overlay: str) -> None:
    config = here(overlay).config
    for name in ("serving", "encoder", "trainer"):
        policies = [
            one["spec"]
            for one in of_kind(overlay, "NetworkPolicy")
            if matches(one["spec"]["podSelector"], labels(overlay, name))
        ]
        left = {port["port"] for one in policies for rule in one.get("egress", []) for port in rule.get("ports", [])}
        assert left == {53, 9093} | (set() if config.store_volume else {443})
