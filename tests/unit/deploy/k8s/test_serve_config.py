"""The configuration of Serve is the application that `tidecast up` deploys of the same settings, and Serve takes it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import ray.cloudpickle
import yaml
from pydantic import BaseModel
from ray.serve._private.build_app import BuiltApplication, build_app
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import DeploymentSchema, ServeDeploySchema

from deploy.k8s.overlays import OVERLAYS, configured
from deploy.k8s.serve_config import arguments_of, serve_config
from deploy.serve.app import APPLICATION, Placement, build
from deploy.serve.builder import application, of
from streaming.errors import ConfigError
from tests.unit.deploy.k8s.made import here, the

COMPARED_APART = {"name", "num_replicas", "autoscaling_config", "request_router_config", "ray_actor_options"}


def config_of(overlay: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(the(overlay, "RayService")["spec"]["serveConfigV2"])
    return loaded


def deployed_by_up(overlay: str) -> BuiltApplication:
    arguments = arguments_of(here(overlay))
    place = Placement(arguments.metrics_folder, arguments.gpus, local=False)
    return build_app(build(here(overlay).settings, place), name=APPLICATION)


def unknown_keys(given: Any, model: type[BaseModel], at: str = "") -> list[str]:
    """The keys that Serve's schema would take without a word and leave out."""
    found = []
    for name, value in given.items():
        field = model.model_fields.get(name)
        if field is None:
            found.append(f"{at}{name}")
            continue
        kinds = _models(field.annotation)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict) and kinds:
                found += unknown_keys(part, kinds[0], f"{at}{name}.")
    return found


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_serve_takes_it_and_knows_every_key(overlay: str) -> None:
    config = config_of(overlay)
    assert ServeDeploySchema.model_validate(config).applications[0].import_path == "deploy.serve.builder:application"
    assert unknown_keys(config, ServeDeploySchema) == []


def test_an_unknown_key_would_be_found() -> None:
    config = config_of("dev")
    config["applications"][0]["deployments"][0]["num_replica"] = 2
    assert unknown_keys(config, ServeDeploySchema) == ["applications.deployments.num_replica"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_deployments_and_options_are_those_that_up_deploys(overlay: str) -> None:
    built = {deployment.name: deployment for deployment in deployed_by_up(overlay).deployments}
    written = {
        one["name"]: DeploymentSchema.model_validate(one)
        for one in config_of(overlay)["applications"][0]["deployments"]
    }
    assert written.keys() == built.keys()
    for name, schema in written.items():
        deployment, config = built[name], built[name]._deployment_config
        assert schema.ray_actor_options.model_dump(exclude_unset=True) == deployment.ray_actor_options, name
        if config.autoscaling_config is None:
            assert schema.num_replicas == deployment.num_replicas
        else:
            written_scaling = AutoscalingConfig.model_validate(schema.autoscaling_config)
            assert written_scaling.model_dump() == config.autoscaling_config.model_dump()
        options = schema.model_dump(exclude_unset=True)
        compared = config.user_configured_option_names & set(DeploymentSchema.model_fields) - COMPARED_APART
        for option in compared:
            place = config if hasattr(config, option) else deployment._replica_config
            assert options[option] == getattr(place, option), f"{name}: {option}"
        assert {"max_ongoing_requests", "health_check_timeout_s", "graceful_shutdown_timeout_s"} <= compared


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_builder_in_a_pod_makes_the_same_application(overlay: str, tmp_path: Path) -> None:
    mounted = tmp_path / "tidecast.toml"
    mounted.write_text(here(overlay).toml)
    arguments = config_of(overlay)["applications"][0]["args"] | {"config": str(mounted)}
    in_pod = build_app(application(arguments), name=APPLICATION)
    by_up = deployed_by_up(overlay)
    options = [
        {
            one.name: (one.num_replicas, one.ray_actor_options, one._deployment_config.to_dict())
            for one in built.deployments
        }
        for built in (in_pod, by_up)
    ]
    for one in (part for each in options for part in each.values()):
        one[2].pop("autoscaling_config")  # compared above; it holds a pickle, which is never the same
    assert options[0] == options[1]


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown field `configuration`"):
        application({"configuration": "x", "metrics_folder": "/tmp", "config": "x"})


def test_no_password_is_pickled_into_a_deployment() -> None:
    import dataclasses  # noqa: PLC0415

    settings = here("existing-kafka").settings
    kafka = dataclasses.replace(settings.kafka, sasl_plain_password="hush-hush", ssl_password="hush-hush")
    settings = dataclasses.replace(settings, kafka=kafka)
    built = build_app(of(settings, arguments_of(here("existing-kafka"))), name=APPLICATION)
    for deployment in built.deployments:
        assert b"hush-hush" not in ray.cloudpickle.dumps(deployment.init_args)
    assert b"hush-hush" in pickle.dumps(settings), "it would be seen"


def test_every_encoder_has_a_gpu_in_the_variant_with_gpus() -> None:
    for overlay, gpus in (("prod", 0.0), ("prod-gpu", 1.0)):
        (encoder,) = (one for one in config_of(overlay)["applications"][0]["deployments"] if one["name"] == "Encoder")
        assert encoder["ray_actor_options"]["num_gpus"] == gpus
        assert here(overlay).settings.ray.encoder_gpus == gpus, "as `tidecast up` would read it in a pod"


def test_fewer_replicas_than_partitions_are_never_exceeded() -> None:
    config = serve_config(configured("prod", None, ["topics.room_partitions=5"]))
    (rooms,) = (one for one in config["applications"][0]["deployments"] if one["name"] == "RoomWorker")
    assert rooms["autoscaling_config"]["max_replicas"] == 5


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_replica_finds_pods_with_what_it_needs_and_only_the_right_ones(overlay: str) -> None:
    """A worker on an Encoder's pod would find no password of Kafka, an Encoder on another's no torch."""
    groups = {
        group["groupName"]: {name: float(amount) for name, amount in group["resources"].items()}
        for group in the(overlay, "RayService")["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    }
    for deployment in config_of(overlay)["applications"][0]["deployments"]:
        options = deployment["ray_actor_options"]
        needs = {"CPU": options["num_cpus"], "GPU": options["num_gpus"], **options["resources"]}
        fits = [
            name
            for name, offered in groups.items()
            if all(offered.get(resource, 0.0) >= amount for resource, amount in needs.items())
        ]
        assert fits == ["encoder" if deployment["name"] == "Encoder" else "serving"], deployment["name"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_least_replicas_fit_into_the_least_pods(overlay: str) -> None:
    settings, config = here(overlay).settings, here(overlay).config
    deployments = config_of(overlay)["applications"][0]["deployments"]
    least = {
        one["name"]: (one.get("autoscaling_config") or {"min_replicas": one.get("num_replicas", 1)})["min_replicas"]
        for one in deployments
    }
    encoders = least.pop("Encoder")
    assert sum(least.values()) * settings.ray.cpus_per_replica <= config.serving_pods * config.serving_cpus
    assert encoders == settings.ray.encoders


@pytest.mark.parametrize("overlay", ["prod", "prod-gpu", "existing-kafka"])
def test_every_pod_has_a_replica_that_answers_also_one_that_comes_back(overlay: str) -> None:
    """Without a bound, all may be on the pods that stayed: the new one gets no proxy, and never becomes ready."""
    settings, config = here(overlay).settings, here(overlay).config
    per_pod = settings.ray.replicas_per_host
    (recommender,) = (
        one for one in config_of(overlay)["applications"][0]["deployments"] if one["name"] == "Recommender"
    )
    assert recommender["max_replicas_per_node"] == per_pod > 0
    scaling = recommender["autoscaling_config"]
    assert scaling["min_replicas"] > per_pod * (config.serving_pods - 1), "no pod can be left out"
    assert scaling["max_replicas"] <= per_pod * config.most_serving_pods, "more would wait for a pod for ever"


def test_more_replicas_than_pods_can_hold_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"may be 12 Recommenders, but 10 pods .* hold 10"):
        configured("prod", None, ["scaling.recommenders=12"])
    configured("prod", None, ["scaling.recommenders=12", "kubernetes.most_serving_pods=12"])
