"""Every manifest of a custom kind is valid by its operator's schema, closed: an unknown field is an error."""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from deploy.k8s.overlays import OVERLAYS
from tests.unit.deploy.k8s.made import made, the

SCHEMAS = Path(__file__).resolve().parents[2].parent / "shared" / "crds" / "jsonschema"
OURS_ALONE = {"Namespace", "ServiceAccount", "NetworkPolicy", "ConfigMap", "PersistentVolumeClaim", "Service"} | {
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
}  # Kubernetes' own kinds: test_k8s_api.py judges them

pytestmark = pytest.mark.skipif(not SCHEMAS.is_dir(), reason=f"the operators' schemas are not there ({SCHEMAS})")


@functools.cache
def validator(api_version: str, kind: str) -> Draft7Validator:
    group, version = api_version.split("/")
    return Draft7Validator(json.loads((SCHEMAS / f"{kind.lower()}-{group}-{version}.json").read_text()))


def errors(one: Any) -> list[str]:
    found = validator(one["apiVersion"], one["kind"]).iter_errors(one)
    return [f"{one['kind']} {'.'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in found]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_custom_manifest_is_valid(overlay: str) -> None:
    custom = [one for one in made(overlay) if one["kind"] not in OURS_ALONE]
    assert {"RayService", "RayCronJob", "PodMonitor", "PrometheusRule"} <= {one["kind"] for one in custom}
    assert [error for one in custom for error in errors(one)] == []


def test_an_unknown_field_is_an_error() -> None:
    broken = copy.deepcopy(the("prod", "RayService"))
    broken["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    assert any("readynessProbe" in error for error in errors(broken))
