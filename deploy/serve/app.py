"""The Serve application: its deployments and their options. Ray is applied here; the classes are plain.

Recommender (ingress) × http.replicas     RoomWorker × ray.room_workers ──► Encoder × ray.encoders
  └─► ProfileWorker, Encoder              ProfileWorker × ray.profile_workers
                                          Archiver × 1, where archive.uri is set
                                          Trainer × 1, where training.every_s is set as well ──► Encoder
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import HTTPOptions, ProxyLocation, RequestRouterConfig

from deploy.config.settings import Settings
from deploy.ray import ray_patches
from deploy.serve.background_replicas import ArchiverReplica, TrainerReplica
from deploy.serve.encoder.encoder_replica import EncoderReplica
from deploy.serve.owner_router import OwnerRouter
from deploy.serve.recommender_replica import RecommenderReplica
from deploy.serve.replicas import ProfileWorkerReplica, RoomWorkerReplica
from deploy.serve.scaling import number_of_replicas
from streaming.errors import ConfigError
from streaming.prometheus import MULTIPROCESS_DIR_VARIABLE

APPLICATION = "tidecast"
LOGGING = {"enable_access_log": False, "log_level": "WARNING"}
# With ray.split_nodes, what a replica takes of one of Ray's resources, of which a node has 1: where it may run. One
# Encoder and a Trainer fit on a node; of the others as many as there is room for
ENCODER_RESOURCE, SERVING_RESOURCE = "encoder", "serving"
PART_OF_ENCODER = {"Encoder": 0.9, "Trainer": 0.1}
PART_OF_SERVING = 0.001
HEALTH_CHECK_PERIOD_S = 1.0
OWNERS_PERIOD_S = 1.0  # how often replicas learn which ProfileWorker owns a partition; only a rebalance changes that
MAX_ONGOING_REQUESTS = 5_000  # per replica: more than half of the connections of one source, so that a caller whose
# bodies arrive slowly, each for http.request_timeout_s at most, leaves room for others


@dataclass(frozen=True, slots=True)
class Placement:
    """The place where the application runs. gpus: of the machine; on a cluster, of each Encoder. local: on loopback."""

    metrics_folder: str
    gpus: float
    local: bool


def build(settings: Settings, placement: Placement) -> Application:
    """The application, ready for `serve.run`. Raises ConfigError."""
    settings = _keys_file(settings, local=placement.local)
    common = _Common(settings, placement)
    encoder = serve.deployment(EncoderReplica, name="Encoder", **common.encoder_options())
    rooms = serve.deployment(RoomWorkerReplica, name="RoomWorker", **common.worker_options("RoomWorker"))
    profiles = serve.deployment(
        ProfileWorkerReplica,
        name="ProfileWorker",
        request_router_config=RequestRouterConfig(
            request_router_class=OwnerRouter, request_routing_stats_period_s=OWNERS_PERIOD_S
        ),
        **common.worker_options("ProfileWorker"),
    )
    # Without an argument, ingress() takes the ASGI app that the replica itself builds.
    ingress = serve.ingress()(RecommenderReplica)
    recommender = serve.deployment(ingress, name="Recommender", **common.ingress_options())
    local = placement.local
    # the workers hang on the ingress so that they belong to the application; it calls ProfileWorkers and Encoders
    registry = settings.registry.below(Path.cwd())  # it fetches encoders from there, and has another working directory
    encoders = encoder.bind(dataclasses.replace(settings, registry=registry), local)
    workers = [profiles.bind(settings, local), encoders, rooms.bind(settings, local, encoders)]
    if settings.archive.uri:
        settings = _in_folder(settings, Path.cwd())
        archiver = serve.deployment(ArchiverReplica, name="Archiver", **common.options("Archiver"))
        workers.append(archiver.bind(settings, local))
        if settings.training.every_s:
            trainer = serve.deployment(TrainerReplica, name="Trainer", **common.options("Trainer"))
            workers.append(trainer.bind(settings, local, encoders))
    return recommender.bind(settings, local, *workers)


def _in_folder(settings: Settings, folder: Path) -> Settings:
    """The settings with relative paths below a folder: replicas have a working directory of their own."""
    return dataclasses.replace(
        settings,
        archive=settings.archive.below(folder),
        registry=settings.registry.below(folder),
        training=settings.training.below(folder),
    )


def start_serve(settings: Settings) -> None:
    """Starts Serve's controller and its HTTP entry on the connected cluster. No effect where it runs already."""
    host, port = settings.http.host, settings.http.port
    ray_patches.start_serve(HTTPOptions(host=host, port=port), ProxyLocation.EveryNode)


def _keys_file(settings: Settings, *, local: bool) -> Settings:
    """The settings with the file of API keys by its whole path: replicas have a working directory of their own.

    Raises ConfigError: on several hosts a relative path is another place on each.
    """
    file = Path(settings.http.keys_file)
    if not settings.http.keys_file or file.is_absolute():
        return settings
    if not local:
        raise ConfigError(f"http.keys_file is {str(file)!r}; on a cluster give the whole path, the same on each host")
    http = dataclasses.replace(settings.http, keys_file=str(file.absolute()))
    return dataclasses.replace(settings, http=http)


def deploy(settings: Settings, placement: Placement) -> None:
    """Puts the application on the connected cluster and waits until every replica is healthy."""
    serve.run(
        build(settings, placement),
        name=APPLICATION,
        route_prefix="/",
        logging_config=LOGGING,
    )


@dataclass(frozen=True, slots=True)
class _Common:
    """The options and arguments that all deployments share."""

    settings: Settings
    placement: Placement

    def ingress_options(self) -> Mapping[str, Any]:
        """Those of the Recommender. On a cluster each host gets some: also one that comes back."""
        return {**self.options("Recommender"), **self._spread(self.settings.ray.replicas_per_host)}

    def worker_options(self, deployment: str) -> Mapping[str, Any]:
        """Those of RoomWorkers or ProfileWorkers. On different hosts, one takes over while the other is replaced."""
        return {**self.options(deployment), **self._spread(self.settings.ray.workers_per_host)}

    def encoder_options(self) -> Mapping[str, Any]:
        """Those of the Encoder."""
        ray, gpus = self.settings.ray, self.placement.gpus
        each = min(1.0, gpus / ray.encoders) if self.placement.local else gpus
        return {**self.options("Encoder", gpus=each), **self._spread(ray.encoders_per_host)}

    def _spread(self, most: int) -> Mapping[str, Any]:
        return {"max_replicas_per_node": most} if most and not self.placement.local else {}

    def options(self, deployment: str, gpus: float = 0.0) -> Mapping[str, Any]:
        ray = self.settings.ray
        environment = {MULTIPROCESS_DIR_VARIABLE: self.placement.metrics_folder, "OMP_NUM_THREADS": "1"}
        return {
            **number_of_replicas(self.settings, deployment),
            "max_ongoing_requests": MAX_ONGOING_REQUESTS,
            "health_check_period_s": HEALTH_CHECK_PERIOD_S,
            "health_check_timeout_s": ray.health_check_timeout_s,
            "graceful_shutdown_wait_loop_s": 0.2,
            "graceful_shutdown_timeout_s": ray.stop_timeout_s,
            "ray_actor_options": {
                "num_cpus": ray.cpus_per_replica,
                "num_gpus": gpus,
                **({"resources": _place(deployment)} if ray.split_nodes else {}),
                "runtime_env": {"env_vars": environment},
            },
        }


def _place(deployment: str) -> Mapping[str, float]:
    """The resource by which a deployment's replicas find their nodes, where these are not alike."""
    part = PART_OF_ENCODER.get(deployment)
    return {SERVING_RESOURCE: PART_OF_SERVING} if part is None else {ENCODER_RESOURCE: part}


def cluster_environment(settings: Settings) -> Mapping[str, Any]:
    """Ray's runtime environment on another's cluster: a checkout's code travels, an installed wheel's does not."""
    root = Path(__file__).resolve().parents[2]
    if not (settings.ray.address and settings.ray.send_code) or not (root / "pyproject.toml").exists():
        return {}
    return {"working_dir": str(root), "excludes": [".venv", ".git", ".tidecast", "tests", "docs", "dist", "build"]}
