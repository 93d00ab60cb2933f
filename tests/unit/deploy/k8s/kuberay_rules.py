"""What KubeRay 1.7 refuses although its schema lets it pass: its operator's own checks, as a list of complaints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

LONGEST_NAME = 47  # of a RayService, a RayJob, and so of a cluster
LONGEST_CRON_NAME = LONGEST_NAME - 11  # a run's name adds a hyphen and its time
LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
SAME_AS_RESOURCES = ("num-cpus", "num-gpus", "memory", "resources")
UPGRADES = ("NewCluster", "NewClusterWithIncrementalUpgrade", "None")
OF_REDIS = ("REDIS_PASSWORD", "RAY_REDIS_ADDRESS", "REDIS_USERNAME")
CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def complaints(one: Mapping[str, Any]) -> list[str]:
    """Why KubeRay would refuse a RayService or a RayCronJob; nothing for other kinds."""
    spec = one.get("spec", {})
    if one["kind"] == "RayService":
        return [*_name(one, LONGEST_NAME), *_cluster(spec["rayClusterConfig"]), *_service(spec)]
    if one["kind"] == "RayCronJob":
        return [*_name(one, LONGEST_CRON_NAME), *_schedule(spec["schedule"]), *_job(spec["jobTemplate"])]
    return []


def _name(one: Mapping[str, Any], longest: int) -> Iterator[str]:
    name = one["metadata"]["name"]
    if len(name) > longest or not LABEL.fullmatch(name):
        yield f"name {name}: a DNS label of at most {longest} characters"


def _service(spec: Mapping[str, Any]) -> Iterator[str]:
    upgrade = spec.get("upgradeStrategy", {})
    if upgrade.get("type", "NewCluster") not in UPGRADES:
        yield f"upgrade of type {upgrade['type']}"
    if upgrade.get("type") == "NewClusterWithIncrementalUpgrade":
        options = upgrade.get("clusterUpgradeOptions")
        if not options:
            yield "an incremental upgrade without options"
        elif (
            not options.get("gatewayClassName")
            or not options.get("stepSizePercent")
            or not options.get("intervalSeconds")
        ):
            yield "an incremental upgrade without gateway, step or interval"
        if not spec["rayClusterConfig"].get("enableInTreeAutoscaling"):
            yield "an incremental upgrade without autoscaling"
    if spec.get("rayClusterDeletionDelaySeconds", 0) < 0:
        yield "a deletion delay below 0"
    if spec["rayClusterConfig"]["headGroupSpec"].get("headService", {}).get("metadata", {}).get("name"):
        yield "a name for the head's service"


def _cluster(spec: Mapping[str, Any]) -> Iterator[str]:
    scaled = spec.get("enableInTreeAutoscaling", False)
    head = spec["headGroupSpec"]
    variables = {one["name"] for one in head["template"]["spec"]["containers"][0].get("env", [])}
    for name, group in (("head", head), *((group["groupName"], group) for group in spec.get("workerGroupSpecs", []))):
        parameters = group.get("rayStartParams", {})
        if group.get("resources") and any(parameters.get(key) for key in SAME_AS_RESOURCES):
            yield f"{name}: resources both in rayStartParams and in the group"
        if "labels" in parameters:
            yield f"{name}: labels in rayStartParams"
        if not group["template"]["spec"].get("containers"):
            yield f"{name}: no container"
        restart = group["template"]["spec"].get("restartPolicy", "Never")
        if scaled and spec.get("autoscalerOptions", {}).get("version") == "v2" and restart != "Never":
            yield f"{name}: restartPolicy {restart} with autoscaler v2"
    for group in spec.get("workerGroupSpecs", []):
        if group.get("suspend"):
            yield f"{group['groupName']}: suspended, with autoscaling or without its feature gate"
        least, most = group.get("minReplicas", 0), group.get("maxReplicas", 2**31 - 1)
        if not least <= group.get("replicas", least) <= most:
            yield f"{group['groupName']}: {least} to {most} replicas, {group.get('replicas')} asked for"
        if scaled and group.get("scaleStrategy", {}).get("workersToDelete"):
            yield f"{group['groupName']}: workers to delete, with autoscaling"
    if spec.get("gcsFaultToleranceOptions") and variables & set(OF_REDIS):
        yield "Redis in the head's environment beside gcsFaultToleranceOptions"
    if not scaled and "RAY_enable_autoscaler_v2" in variables:
        yield "autoscaler v2 without autoscaling"
    if spec.get("authOptions", {}).get("mode") == "token":
        version = spec.get("rayVersion", "")
        if not version or tuple(map(int, version.split(".")[:2])) < (2, 52):
            yield f"a token with Ray {version or 'of no version'}"


def _job(spec: Mapping[str, Any]) -> Iterator[str]:
    if spec.get("suspend") and not spec.get("shutdownAfterJobFinishes"):
        yield "a suspended job whose cluster stays"
    if spec.get("ttlSecondsAfterFinished", 0) and not spec.get("shutdownAfterJobFinishes"):
        yield "a time to live for a cluster that stays"
    if not spec.get("rayClusterSpec") and not spec.get("clusterSelector"):
        yield "a job without a cluster"
    if spec.get("submissionMode") == "SidecarMode" and (
        spec.get("submitterPodTemplate") or spec.get("submitterConfig")
    ):
        yield "a submitter's pod in SidecarMode"
    if spec.get("submissionMode") == "InteractiveMode" and spec.get("backoffLimit"):
        yield "tries of a job that a person submits"
    if spec.get("activeDeadlineSeconds", 1) <= 0 or spec.get("backoffLimit", 0) < 0:
        yield "a deadline or a number of tries below what it may be"
    if spec.get("rayClusterSpec"):
        yield from _cluster(spec["rayClusterSpec"])


def _schedule(text: str) -> Iterator[str]:
    if text in ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"):
        return
    fields = text.split()
    if len(fields) != len(CRON_RANGES):
        yield f"schedule {text!r}: five fields"
        return
    for field, (least, most) in zip(fields, CRON_RANGES, strict=True):
        for part in field.split(","):
            found = re.fullmatch(r"(\*|(\d+)(-(\d+))?)(/([1-9]\d*))?", part)
            if found is None or not all(least <= int(one) <= most for one in (found[2], found[4]) if one):
                yield f"schedule {text!r}: {part}"
