"""The options by which Serve scales each deployment. Never decides: `scaling_policy.py` does, or Serve itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.config.settings import Settings

LAG = "lag"  # the metrics' names in `record_autoscaling_stats`
WAITING = "waiting_texts"
POLICY = "deploy.serve.scaling_policy:BacklogPolicy"
LOOK_BACK_S = 15.0  # metrics are averaged over so long: more than the 10 s between two of a replica's reports


def lag_by_partition(unread: Mapping[int, int]) -> dict[str, float]:
    """A worker's unread records in the form in which `scaling_policy.py` reads them."""
    return {f"{LAG}.{partition}": float(records) for partition, records in unread.items()}


def number_of_replicas(settings: Settings, deployment: str) -> Mapping[str, Any]:
    """Serve's options for the number of replicas: a fixed one, or the least, the most and what decides between them.

    Raises ConfigError: the most is less than the least.
    """
    http, ray, topics, scaling = settings.http, settings.ray, settings.topics, settings.scaling
    lag = {"metric": LAG, "per_replica": scaling.lag_records, "hot_s": scaling.hot_partition_s}
    waiting = {"metric": WAITING, "per_replica": scaling.waiting_texts}
    if deployment == "Recommender":
        most = scaling.most("recommenders", http.replicas)
        return _between(settings, http.replicas, most, {"target_ongoing_requests": scaling.ongoing_requests})
    if deployment == "RoomWorker":
        most = _at_most(scaling.most("room_workers", ray.room_workers), ray.room_workers, topics.room_partitions)
        return _between(settings, ray.room_workers, most, _policy(lag))
    if deployment == "ProfileWorker":
        most = scaling.most("profile_workers", ray.profile_workers)
        most = _at_most(most, ray.profile_workers, topics.viewer_partitions)
        return _between(settings, ray.profile_workers, most, _policy(lag))
    if deployment == "Encoder":
        return _between(settings, ray.encoders, scaling.most("encoders", ray.encoders), _policy(waiting))
    return {"num_replicas": 1}  # Archiver and Trainer


def _at_most(most: int, least: int, partitions: int) -> int:
    return max(least, min(most, partitions))


def _policy(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"policy": {"policy_function": POLICY, "policy_kwargs": dict(arguments)}}


def _between(settings: Settings, least: int, most: int, by: Mapping[str, Any]) -> Mapping[str, Any]:
    if most == least:
        return {"num_replicas": least}
    return {
        "autoscaling_config": {
            "min_replicas": least,
            "max_replicas": most,
            "upscale_delay_s": settings.scaling.up_after_s,
            "downscale_delay_s": settings.scaling.down_after_s,
            "look_back_period_s": LOOK_BACK_S,
            **by,
        }
    }
