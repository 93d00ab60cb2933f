"""Tests of how many replicas a host gets, and which GPUs an Encoder asks for, by where the application runs."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import pytest

from deploy.config.settings import Settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's own, while it is imported
    from ray.serve import Application

    from deploy.serve.app import Placement, build


def settings(**ray: Any) -> Settings:
    return dataclasses.replace(Settings(), ray=dataclasses.replace(Settings().ray, **ray))


def of(application: Application, name: str) -> Any:
    """What Serve is told of a deployment, by its name."""
    deployment = application._bound_deployment
    if deployment.name == name:
        return deployment._replica_config
    found = (of(part, name) for part in deployment.init_args if isinstance(part, Application))
    return next((config for config in found if config is not None), None)


def test_on_a_cluster_each_host_gets_a_share_of_the_replicas() -> None:
    spread = build(settings(replicas_per_host=1), Placement("", 0.0, local=False))
    assert of(spread, "Recommender").max_replicas_per_node == 1
    assert of(spread, "RoomWorker").max_replicas_per_node is None
    workers = build(settings(room_workers=2, profile_workers=2, workers_per_host=1), Placement("", 0.0, local=False))
    for name in ("RoomWorker", "ProfileWorker"):
        assert of(workers, name).max_replicas_per_node == 1  # else nobody would take over from a vanished host at once
    assert of(workers, "Recommender").max_replicas_per_node is None
    apart = build(settings(encoders=2, encoders_per_host=1), Placement("", 0.0, local=False))
    assert of(apart, "Encoder").max_replicas_per_node == 1  # else one vanished host may have had both
    together = build(settings(replicas_per_host=1), Placement("", 0.0, local=True))
    assert of(together, "Recommender").max_replicas_per_node is None  # else one machine had one replica


@pytest.mark.parametrize(
    ("local", "gpus", "encoders", "each"),
    [
        (True, 1.0, 2, 0.5),  # this machine's one
        (True, 4.0, 2, 1.0),
        (False, 1.0, 2, 1.0),  # of each: there may be no GPU yet in a group of hosts that grows when one is asked for
        (False, 0.0, 2, 0.0),
    ],
)
def test_an_encoder_asks_for_gpus(local: bool, gpus: float, encoders: int, each: float) -> None:
    application = build(settings(encoders=encoders), Placement("", gpus, local))
    assert of(application, "Encoder").ray_actor_options.get("num_gpus", 0) == each
