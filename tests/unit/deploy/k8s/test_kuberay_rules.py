"""KubeRay's operator takes each overlay; each of its rules is seen to refuse something."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from deploy.k8s.overlays import OVERLAYS
from tests.unit.deploy.k8s.kuberay_rules import complaints
from tests.unit.deploy.k8s.made import made, the

Change = Callable[[Any], Any]


def cluster(one: Any) -> Any:
    return one["spec"]["rayClusterConfig"]


def group(one: Any) -> Any:
    return cluster(one)["workerGroupSpecs"][0]


def job(one: Any) -> Any:
    return one["spec"]["jobTemplate"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kuberay_takes_every_overlay(overlay: str) -> None:
    assert [said for one in made(overlay) for said in complaints(one)] == []


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("RayService", lambda one: group(one).update(suspend=True), "suspended"),
        ("RayService", lambda one: group(one).update(scaleStrategy={"workersToDelete": ["a"]}), "workers to delete"),
        ("RayService", lambda one: group(one)["rayStartParams"].update({"num-cpus": "4"}), "both in rayStartParams"),
        ("RayService", lambda one: group(one)["rayStartParams"].update(labels="a=b"), "labels in"),
        ("RayService", lambda one: group(one).update(minReplicas=9, maxReplicas=8), "9 to 8 replicas"),
        ("RayService", lambda one: group(one)["template"]["spec"].update(restartPolicy="Always"), "restartPolicy"),
        ("RayService", lambda one: one["metadata"].update(name="a" * 48), "at most 47"),
        ("RayService", lambda one: one["metadata"].update(name="4tidecast"), "DNS label"),
        ("RayService", lambda one: one["spec"].update(upgradeStrategy={"type": "Rolling"}), "upgrade of type"),
        (
            "RayService",
            lambda one: one["spec"].update(upgradeStrategy={"type": "NewClusterWithIncrementalUpgrade"}),
            "without options",
        ),
        ("RayService", lambda one: cluster(one).pop("rayVersion"), "a token with Ray"),
        (
            "RayService",
            lambda one: cluster(one)["headGroupSpec"]["template"]["spec"]["containers"][0]["env"].append(
                {"name": "REDIS_PASSWORD", "value": "x"}
            ),
            "Redis in the head's environment",
        ),
        ("RayCronJob", lambda one: one["spec"].update(schedule="61 3 * * *"), "schedule"),
        ("RayCronJob", lambda one: one["spec"].update(schedule="3 * * *"), "five fields"),
        ("RayCronJob", lambda one: one["metadata"].update(name="a" * 37), "at most 36"),
        ("RayCronJob", lambda one: job(one).update(shutdownAfterJobFinishes=False), "time to live"),
        ("RayCronJob", lambda one: job(one).pop("rayClusterSpec"), "without a cluster"),
    ],
)
def test_a_rule_that_is_broken_is_seen(kind: str, change: Change, said: str) -> None:
    broken = copy.deepcopy(the("prod", kind, "tidecast" if kind == "RayService" else "tidecast-train"))
    change(broken)
    assert any(said in complaint for complaint in complaints(broken)), complaints(broken)


def test_the_longest_name_that_is_taken_makes_names_that_kuberay_takes() -> None:
    from deploy.k8s.overlays import configured, manifests  # noqa: PLC0415

    long = manifests(configured("dev", None, [f"kubernetes.name={'a' * 24}"]))
    assert [said for one in long for said in complaints(one)] == []
