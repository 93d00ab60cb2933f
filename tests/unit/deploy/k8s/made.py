"""Installations and their manifests, for tests: made once, because Ray takes seconds."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from deploy.k8s.installation import Installation
from deploy.k8s.manifest import Manifest
from deploy.k8s.overlays import configured, manifests


@functools.cache
def here(overlay: str) -> Installation:
    """The installation of an overlay."""
    return configured(overlay)


@functools.cache
def made(overlay: str) -> Sequence[Manifest]:
    """The manifests of an overlay. Not to be changed."""
    return tuple(manifests(here(overlay)))


def of_kind(overlay: str, kind: str) -> list[Manifest]:
    """The manifests of a kind."""
    return [one for one in made(overlay) if one["kind"] == kind]


def the(overlay: str, kind: str, name: str = "tidecast") -> Manifest:
    """The manifest of a kind and name."""
    (found,) = (one for one in of_kind(overlay, kind) if one["metadata"]["name"] == name)
    return found


def pod_templates(overlay: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The templates of all pods that are ours, by the name of their place."""
    cluster = the(overlay, "RayService")["spec"]["rayClusterConfig"]
    yield "head", cluster["headGroupSpec"]["template"]
    for group in cluster["workerGroupSpecs"]:
        yield group["groupName"], group["template"]
    for job in of_kind(overlay, "RayCronJob"):
        yield "trainer", job["spec"]["jobTemplate"]["rayClusterSpec"]["headGroupSpec"]["template"]
    for one in of_kind(overlay, "CronJob"):
        yield one["metadata"]["name"], one["spec"]["jobTemplate"]["spec"]["template"]
    for one in (*of_kind(overlay, "StatefulSet"), *of_kind(overlay, "Deployment")):
        yield one["metadata"]["name"], one["spec"]["template"]
