"""A real Kubernetes evicts pods of the overlay `prod`, and what it needs to start them is there.

Its API server, controllers and scheduler are real, its nodes are kwok's: pods become Ready there without running. The
operators are not: the test makes a RayCluster's pods, owned by it, and makes one anew where one goes, as KubeRay does.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pytest

from deploy.k8s.overlays import FOLDER, user_secrets
from tests.e2e.running import await_true
from tests.integration.k8s_server import Cluster, in_namespace, pod_of, server, why_not
from tests.unit.deploy.k8s.made import here, pod_templates, the

pytestmark = pytest.mark.skipif(bool(why_not("full")), reason=why_not("full") or "none")
NAMESPACE = "tidecast-evictions"
NAME = "tidecast-x1y2z"  # as KubeRay names the cluster of a RayService
COMPONENT = "app.kubernetes.io/component"
READY_S = 60.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with server(tmp_path_factory.mktemp("k8s"), "full") as started:
        applied = started.apply(in_namespace(FOLDER / "overlays/prod", tmp_path_factory.mktemp("o") / "own", NAMESPACE))
        assert applied.returncode == 0, applied.stderr
        yield started


@pytest.fixture(scope="module")
def operator(cluster: Cluster) -> Iterator[Operator]:
    with Operator(cluster) as made:
        yield made


class Operator:
    """What KubeRay does for the workers of a RayCluster: keeps as many pods of a group as it should have."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._spec = the("prod", "RayService")["spec"]["rayClusterConfig"]
        self._owner: Mapping[str, Any] = {}
        self._stop = threading.Event()
        self._working = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._made = 0
        self.fewest: dict[str, int] = {}  # pods of a group that were ready at once, since `work`

    def __enter__(self) -> Operator:
        metadata = {"name": NAME, "namespace": NAMESPACE}
        cluster = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata, "spec": self._spec}
        done = self._cluster.apply(json.dumps(cluster))
        assert done.returncode == 0, done.stderr
        uid = self._cluster.get("raycluster", NAME, "-n", NAMESPACE)["metadata"]["uid"]
        self._owner = {
            "apiVersion": "ray.io/v1",
            "kind": "RayCluster",
            "name": NAME,
            "uid": uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
        self.fill()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def pods(self, group: str) -> Sequence[Mapping[str, Any]]:
        """The pods of a group that are not being deleted."""
        found = self._cluster.get("pods", "-n", NAMESPACE, "-l", f"{COMPONENT}={group}")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def fill(self) -> None:
        """Makes the pods that are missing, and waits until all are ready."""
        self._make_missing()
        for group, least in self.least.items():
            await_true(f"{least} pods of {group}", partial(self._has, group, least), READY_S)

    def _has(self, group: str, pods: int) -> bool:
        return self.ready(group) == pods

    def work(self) -> None:
        """From now on makes pods anew by itself, and notes how few there were."""
        self.fewest = dict(self.least)
        self._working.set()

    def ready(self, group: str) -> int:
        """The pods of a group that are ready."""
        return sum(
            any(
                one["type"] == "Ready" and one["status"] == "True"
                for one in pod.get("status", {}).get("conditions", ())
            )
            for pod in self.pods(group)
        )

    @property
    def least(self) -> Mapping[str, int]:
        """How many pods each group should have."""
        return {group["groupName"]: group["minReplicas"] for group in self._spec["workerGroupSpecs"]}

    def _make_missing(self) -> None:
        templates = dict(pod_templates("prod"))
        for group, least in self.least.items():
            for _ in range(least - len(self.pods(group))):
                self._made += 1
                pod = pod_of(f"{NAME}-{group}-{self._made}", NAMESPACE, templates[group])
                pod["metadata"]["ownerReferences"] = [self._owner]
                done = self._cluster.apply(json.dumps(pod))
                assert done.returncode == 0, done.stderr

    def _work(self) -> None:
        while not self._stop.wait(0.3):
            if self._working.is_set():
                for group in self.least:
                    self.fewest[group] = min(self.fewest[group], self.ready(group))
                self._make_missing()


def evict(cluster: Cluster, pod: Mapping[str, Any]) -> str:
    """Asks for a pod's eviction, as a node's drain does. Returns the refusal, "" where it was evicted."""
    name = pod["metadata"]["name"]
    metadata = {"name": name, "namespace": NAMESPACE}
    text = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata})
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
    done = cluster.run("create", "--raw", path, "-f", "-", given=text)
    return done.stderr if done.returncode else ""


def allowed(cluster: Cluster, group: str) -> int:
    """How many pods of a group may be evicted now."""
    budget = cluster.get("poddisruptionbudget", f"tidecast-{group}", "-n", NAMESPACE)
    return int(budget["status"].get("disruptionsAllowed", 0))


@pytest.mark.parametrize("group", ["serving", "encoder"])
def test_one_pod_at_a_time_is_evicted(group: str, cluster: Cluster, operator: Operator) -> None:
    await_true(f"one pod of {group} may go", lambda: allowed(cluster, group) == 1)
    first, second, *_ = operator.pods(group)
    assert evict(cluster, first) == ""
    assert "disruption budget" in evict(cluster, second), "none before the first has a successor"
    operator.fill()
    await_true(f"one more pod of {group} may go", lambda: allowed(cluster, group) == 1)
    assert evict(cluster, second) == ""
    operator.fill()


def test_with_another_kind_of_budget_nothing_could_ever_be_evicted(cluster: Cluster, operator: Operator) -> None:
    """Why budgets say minAvailable: for the others Kubernetes asks the pods' owner for its scale."""
    budget = cluster.get("poddisruptionbudget", "tidecast-serving", "-n", NAMESPACE)
    spec = {**budget["spec"], "maxUnavailable": 1}
    del spec["minAvailable"]
    text = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": budget["metadata"], "spec": spec}
    text["metadata"] = {"name": "tidecast-serving", "namespace": NAMESPACE}
    assert cluster.run("delete", "poddisruptionbudget", "tidecast-serving", "-n", NAMESPACE).returncode == 0
    assert cluster.apply(json.dumps(text)).returncode == 0
    try:
        await_true("it was looked at", lambda: "conditions" in _status(cluster))
        assert "disruption budget" in evict(cluster, operator.pods("serving")[0])
    finally:
        cluster.run("delete", "poddisruptionbudget", "tidecast-serving", "-n", NAMESPACE)
        made = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": text["metadata"]}
        assert cluster.apply(json.dumps({**made, "spec": budget["spec"]})).returncode == 0


def test_every_node_can_be_drained_and_enough_pods_stay_ready(cluster: Cluster, operator: Operator) -> None:
    operator.fill()
    operator.work()
    for node in cluster.get("nodes")["items"]:
        name = node["metadata"]["name"]
        options = ["--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=90s"]
        selector = f"{COMPONENT} in (serving,encoder)"
        drained = cluster.run("drain", name, *options, f"--pod-selector={selector}")
        assert drained.returncode == 0, drained.stderr
        assert cluster.run("uncordon", name).returncode == 0
    assert operator.fewest["serving"] >= operator.least["serving"] - 1
    assert operator.fewest["encoder"] >= operator.least["encoder"] - 1


def test_all_that_pods_name_is_there_or_is_made_by_an_operator_or_is_the_users(cluster: Cluster) -> None:
    config_maps = {one["metadata"]["name"] for one in cluster.get("configmaps", "-n", NAMESPACE)["items"]}
    users = {one["metadata"]["name"] for one in cluster.get("kafkausers", "-n", NAMESPACE)["items"]}
    kafkas = {f"{one['metadata']['name']}-cluster-ca-cert" for one in cluster.get("kafkas", "-n", NAMESPACE)["items"]}
    ours = set(user_secrets(here("prod")))
    claims = {one["metadata"]["name"] for one in cluster.get("pvc", "-n", NAMESPACE)["items"]}
    accounts = {one["metadata"]["name"] for one in cluster.get("serviceaccounts", "-n", NAMESPACE)["items"]}
    named: dict[str, set[str]] = {kind: set() for kind in ("configMap", "secret", "claim", "account")}
    for _, template in pod_templates("prod"):
        _names_in(template, named)
    assert named["configMap"] <= config_maps | {"kube-root-ca.crt"}
    assert named["secret"] <= users | kafkas | ours
    assert named["claim"] <= claims
    assert named["account"] <= accounts
    assert all(named[kind] for kind in ("configMap", "secret", "account")), "else nothing was looked for"


def test_the_store_of_the_head_runs_with_its_volume(cluster: Cluster) -> None:
    def runs() -> bool:
        return cluster.get("statefulset", "tidecast-gcs", "-n", NAMESPACE)["status"].get("readyReplicas") == 1

    await_true("the store of the head", runs, READY_S)


def _status(cluster: Cluster) -> Mapping[str, Any]:
    found = cluster.get("poddisruptionbudget", "tidecast-serving", "-n", NAMESPACE)
    return dict(found.get("status", {}))


def _names_in(value: Any, named: dict[str, set[str]]) -> None:
    """Collects the names of what a pod cannot start without."""
    if isinstance(value, list):
        for one in value:
            _names_in(one, named)
    elif isinstance(value, dict):
        for kind, key, of in (
            ("configMap", "configMap", "name"),
            ("secret", "secret", "name"),
            ("secret", "secret", "secretName"),
            ("secret", "secretKeyRef", "name"),
            ("configMap", "configMapKeyRef", "name"),
            ("secret", "secretRef", "name"),
            ("claim", "persistentVolumeClaim", "claimName"),
        ):
            found = value.get(key)
            if isinstance(found, dict) and of in found and not found.get("optional"):
                named[kind].add(found[of])
        if isinstance(value.get("serviceAccountName"), str):
            named["account"].add(value["serviceAccountName"])
        for one in value.values():
            _names_in(one, named)
