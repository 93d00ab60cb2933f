"""Every pod meets Pod Security's `restricted`, drains before it is killed, and can be evicted."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy.k8s.installation import METRICS_FOLDER
from deploy.k8s.overlays import OVERLAYS
from deploy.k8s.pods import DRAIN_S, LEAVE, LEAVING_S, STOP_S, UNSEEN_S
from deploy.ray.cluster_host import ClusterHost
from deploy.serve.leaving import FILE
from deploy.serve.profile_lookup import PROFILES
from tests.unit.deploy.k8s.made import here, made, of_kind, pod_templates, the

PODS = ("head", "serving", "encoder", "trainer", "tidecast-rollback", "tidecast-gcs")
ALL = [(overlay, name) for overlay in OVERLAYS for name in PODS]


def spec_of(overlay: str, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = dict(pod_templates(overlay))[name]["spec"]
    return spec


@pytest.mark.parametrize(("overlay", "name"), ALL)
def test_pod_has_no_privileges(overlay: str, name: str) -> None:
    spec = spec_of(overlay, name)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*spec.get("initContainers", []), *spec["containers"]):
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"]
        assert not security["allowPrivilegeEscalation"]
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert "limits" in container["resources"]


@pytest.mark.parametrize(("overlay", "name"), ALL)
def test_pod_gets_no_token_and_no_variables_of_services(overlay: str, name: str) -> None:
    spec = spec_of(overlay, name)
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    mounted = [mount for one in spec["containers"] for mount in one["volumeMounts"]]
    assert not [mount for mount in mounted if "serviceaccount" in mount["mountPath"]]


def test_the_autoscaler_alone_has_a_token_and_what_restricted_asks_for() -> None:
    cluster = the("prod", "RayService")["spec"]["rayClusterConfig"]
    options = cluster["autoscalerOptions"]
    assert options["securityContext"]["allowPrivilegeEscalation"] is False
    volumes = {volume["name"] for volume in cluster["headGroupSpec"]["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in options["volumeMounts"]} <= volumes
    assert "/var/run/secrets/kubernetes.io/serviceaccount" in {mount["mountPath"] for mount in options["volumeMounts"]}


@pytest.mark.parametrize("name", ["serving", "encoder"])
def test_a_pod_is_killed_only_after_it_has_drained(name: str) -> None:
    spec = spec_of("prod", name)
    stop_s = here("prod").settings.ray.stop_timeout_s
    assert spec["terminationGracePeriodSeconds"] > LEAVING_S + max(stop_s, STOP_S)
    assert stop_s < DRAIN_S, "offsets are committed before"
    environment = {one["name"]: one.get("value") for one in spec["containers"][0]["env"]}
    assert float(environment["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"] or 0) < DRAIN_S


def test_the_head_and_the_training_pod_end_at_once() -> None:
    """They have no replica to lead away, and each second that the old head has is one without the new."""
    for name in ("head", "trainer"):
        assert "lifecycle" not in spec_of("prod", name)["containers"][0]


def calls_of_the_hook(place: Path, before: str = "") -> list[str]:
    """Runs the hook with the processes of a pod as files, and `ray` and `sleep` that write down their calls.

    before: of the script. The one replica ends at the third call of `sleep`.
    """
    processes = {
        "1": "/bin/bash",
        "30": "raylet/raylet\0--node_id=abc\0",
        "31": "ray::ServeReplica:tidecast:RoomWorker",
    }
    for pid, line in processes.items():
        (place / "proc" / pid / "fd").mkdir(parents=True)
        (place / "proc" / pid / "cmdline").write_text(line)
    commands, metrics = place / "bin", place / "metrics"
    commands.mkdir()
    metrics.mkdir()
    gone = f"grep -c sleep {place}/calls | grep -qx 3 && rm -r {place}/proc/31"
    for name, rest in (("ray", "echo accepted"), ("sleep", f"{gone}; true")):
        (commands / name).write_text(f'#!/bin/sh\necho {name} "$@" >>{place}/calls\n{rest}\n')
        (commands / name).chmod(0o755)
    *shell, hook = spec_of("prod", "serving")["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert METRICS_FOLDER in hook
    text = before + hook.replace("/proc/", f"{place}/proc/").replace(METRICS_FOLDER, str(metrics))
    subprocess.run([*shell, text], env={"PATH": f"{commands}:/usr/bin:/bin"}, check=False, timeout=30)
    return (place / "calls").read_text().splitlines()


def test_replicas_of_a_pod_that_goes_are_led_away_before_ray_ends(tmp_path: Path) -> None:
    drain, *waits = calls_of_the_hook(tmp_path)
    assert drain.startswith("ray drain-node --node-id abc --reason DRAIN_NODE_REASON_PREEMPTION")
    assert drain.endswith(f"--deadline-remaining-seconds {DRAIN_S}")
    assert waits == [f"sleep {UNSEEN_S}", "sleep 1", "sleep 1"], "until the replica has ended"
    assert (tmp_path / "proc/1/fd/1").read_text() == "accepted\n", "kubectl logs shows it"


def test_workers_without_successors_are_told_to_leave_their_groups(tmp_path: Path) -> None:
    _, *waits = calls_of_the_hook(tmp_path, f"SECONDS={LEAVING_S}\n")
    assert (tmp_path / "metrics" / FILE).exists()
    assert waits == [f"sleep {UNSEEN_S}", f"sleep {STOP_S}"], "for as long as they need"


def test_ray_knows_the_command_and_the_reason_that_the_hook_gives() -> None:
    from ray.core.generated import autoscaler_pb2  # noqa: PLC0415
    from ray.scripts import scripts  # noqa: PLC0415

    options = {option for parameter in scripts.drain_node.params for option in parameter.opts}
    assert {word for word in LEAVE.split() if re.fullmatch("--[a-z-]+", word)} <= options
    assert "DRAIN_NODE_REASON_PREEMPTION" in dict(autoscaler_pb2.DrainNodeReason.items())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_replicas_log_is_json_on_the_stdout_of_their_pod(overlay: str) -> None:
    assert here(overlay).settings.ray.json_logs
    for name in ("serving", "encoder"):
        environment = {one["name"]: one.get("value") for one in spec_of(overlay, name)["containers"][0]["env"]}
        assert environment["RAY_LOG_TO_STDERR"] == "1"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_encoder_and_trainer_have_the_image_with_torch(overlay: str) -> None:
    config = here(overlay).config
    images = {name: template["spec"]["containers"][0]["image"] for name, template in pod_templates(overlay)}
    with_torch = {name for name, image in images.items() if image == config.torch_image}
    assert with_torch == {"encoder", "trainer"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_gpu_is_where_it_is_used_and_nowhere_else(overlay: str) -> None:
    wanted = {"encoder", "trainer"} if here(overlay).config.gpu else set()
    limits = {name: spec["spec"]["containers"][0]["resources"]["limits"] for name, spec in pod_templates(overlay)}
    assert {name for name, one in limits.items() if "nvidia.com/gpu" in one} == wanted
    tolerated = {
        name for name, one in pod_templates(overlay) if "nvidia.com/gpu" in str(one["spec"].get("tolerations"))
    }
    assert tolerated == wanted, "or it stays outside of the nodes that are kept for it"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_drain_of_nodes_ends_and_leaves_some_of_each(overlay: str) -> None:
    pods = dict(pod_templates(overlay))
    replicas = {
        one["groupName"]: one["minReplicas"]
        for one in the(overlay, "RayService")["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    }
    budgets = of_kind(overlay, "PodDisruptionBudget")
    assert {one["metadata"]["labels"]["app.kubernetes.io/component"] for one in budgets} == {
        name for name, least in replicas.items() if least > 1
    }
    for one in budgets:
        component = one["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]
        assert one["spec"].keys() == {"minAvailable", "selector", "unhealthyPodEvictionPolicy"}
        assert one["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow", "pods that are not ready anyway may go"
        assert 0 < one["spec"]["minAvailable"] < replicas[component], "one can be evicted"
        assert one["spec"]["selector"]["matchLabels"].items() <= pods[component]["metadata"]["labels"].items()


@pytest.mark.parametrize("overlay", ["dev", "prod", "prod-gpu"])
def test_brokers_and_controllers_are_spread_each_for_themselves(overlay: str) -> None:
    """All of Kafka spread evenly over three zones may have two brokers in one, and with it the most of each topic."""
    for pool in of_kind(overlay, "KafkaNodePool"):
        pod = pool["spec"]["template"]["pod"]
        assert pod["securityContext"]["runAsNonRoot"]
        for one in pod["topologySpreadConstraints"]:
            assert one["labelSelector"]["matchLabels"]["strimzi.io/pool-name"] == pool["metadata"]["name"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_selects_by_the_name_of_a_cluster(overlay: str) -> None:
    assert "ray.io/cluster" not in json.dumps(made(overlay))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_ray_writes_is_on_a_volume(overlay: str) -> None:
    for name in ("head", "serving", "encoder", "trainer"):
        container = spec_of(overlay, name)["containers"][0]
        environment = {one["name"]: one.get("value", "") for one in container["env"]}
        mounted = tuple(mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly"))
        for variable in ("HOME", "NUMBA_CACHE_DIR", "PROMETHEUS_MULTIPROC_DIR"):
            assert environment[variable].startswith(mounted), variable


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_folder_of_metrics_is_there_before_ray_is(overlay: str) -> None:
    """Ray's monitor, which runs where no autoscaler does, counts with the same library: it ends without the folder."""
    for name, template in pod_templates(overlay):
        pod = template["spec"]
        for container in pod["containers"]:
            environment = {one["name"]: one.get("value", "") for one in container.get("env", ())}
            if folder := environment.get("PROMETHEUS_MULTIPROC_DIR"):
                made = [one["command"][-1] for one in pod["initContainers"]]
                assert any(folder in line.partition("&&")[0].split() for line in made), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ray_is_given_in_a_pod_what_any_host_of_a_cluster_is_given(
    overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that `tidecast cluster-env` prints, but for the paths of a host: a pod has a file system of its own."""
    monkeypatch.chdir(tmp_path)
    printed = ClusterHost(Path("host")).environment(here(overlay).settings.http.limits)
    of_paths = {name for name, value in printed.items() if "/" in value or value.startswith("host")}
    of_paths |= {"PYTHONPATH", "RAY_SERVE_HAPROXY_NBTHREAD"}  # the image has the first; 4 is Serve's own
    assert {"RAY_health_check_failure_threshold", "RAY_SERVE_HAPROXY_RETRY_ON"} <= printed.keys() - of_paths
    for name in ("head", "serving", "encoder"):
        environment = {one["name"]: one["value"] for one in spec_of(overlay, name)["containers"][0]["env"]}
        different = {key for key in printed.keys() - of_paths if environment.get(key) != printed[key]}
        assert not different, name


def test_a_run_that_has_ended_soon_gives_back_what_it_had() -> None:
    """KubeRay keeps the whole cluster of a job for its time to live, not only the object."""
    for overlay in OVERLAYS:
        assert the(overlay, "RayCronJob", "tidecast-train")["spec"]["jobTemplate"]["ttlSecondsAfterFinished"] <= 900


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_training_that_goes_on_in_another_pod_finds_its_run_there(overlay: str) -> None:
    """In the store, which every node reaches; or in a volume that stays, on the one node of `dev`."""
    training, spec = here(overlay).settings.training, spec_of(overlay, "trainer")
    (container,) = spec["containers"]
    (folder,) = (one["value"] for one in container["env"] if one["name"] == "TIDECAST_TRAINING__FOLDER")
    (mount,) = (one for one in container["volumeMounts"] if one["mountPath"] == folder)
    (volume,) = (one for one in spec["volumes"] if one["name"] == mount["name"])
    claims = {one["metadata"]["name"] for one in of_kind(overlay, "PersistentVolumeClaim")}
    assert "--resume" in the(overlay, "RayCronJob", "tidecast-train")["spec"]["jobTemplate"]["entrypoint"]
    if overlay == "dev":
        assert training.checkpoints == ""
        assert volume["persistentVolumeClaim"]["claimName"] in claims
    else:
        assert training.checkpoints.startswith("s3://")
        assert volume.keys() == {"name", "ephemeral"}, "it goes with the pod, and ties none to a zone"
        assert "tidecast-train" not in claims
        assert {"secretRef": {"name": "tidecast-store", "optional": True}} in container["envFrom"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_person_can_take_a_version_of_the_models_back(overlay: str) -> None:
    """No pod that runs may write to the topic of the versions: this one has the user that may, and its ways out."""
    job = the(overlay, "CronJob", "tidecast-rollback")["spec"]
    assert job["suspend"], "only by hand"
    rollback, trainer = (dict(pod_templates(overlay))[name] for name in ("tidecast-rollback", "trainer"))
    assert rollback["metadata"]["labels"] == trainer["metadata"]["labels"], "by which the policies know it"
    (container,) = rollback["spec"]["containers"]
    assert container["command"][-1] == "rollback"
    of_kafka, there = (
        {one["name"]: one["value"] for one in each["spec"]["containers"][0]["env"] if "KAFKA__" in one["name"]}
        for each in (rollback, trainer)
    )
    assert of_kafka == there
    assert "{component}" not in str(of_kafka)
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"/etc/tidecast", "/etc/tidecast-kafka"} <= mounted


def test_a_training_pod_that_is_busy_with_its_work_does_not_count_as_gone() -> None:
    environment = {one["name"]: one["value"] for one in spec_of("prod", "trainer")["containers"][0]["env"]}
    assert int(environment["RAY_health_check_timeout_ms"]) >= 10_000


def test_a_change_of_settings_makes_new_pods() -> None:
    from deploy.k8s.overlays import configured  # noqa: PLC0415

    assert configured("prod", None, ["recommend.pool=65"]).digest != here("prod").digest
    annotations = dict(pod_templates("prod"))["serving"]["metadata"]["annotations"]
    assert annotations == {"tidecast/settings": here("prod").digest}


def test_each_process_finds_the_password_of_its_user() -> None:
    kafka = here("prod").settings.kafka
    sources = next(v for v in spec_of("prod", "serving")["volumes"] if "projected" in v)["projected"]["sources"]
    paths = {item["path"]: source["secret"]["name"] for source in sources for item in source["secret"]["items"]}
    for component in ("recommender", "room-worker", "profile-worker", "archiver"):
        own = kafka.as_component(component)
        assert paths[own.sasl_credentials_file.removeprefix("/etc/tidecast-kafka/")] == own.sasl_plain_username
    assert paths["ca/ca.crt"] == "tidecast-cluster-ca-cert"
    assert kafka.as_component("encoder").sasl_plain_username in str(spec_of("prod", "encoder")["volumes"])
    assert "/etc/tidecast-kafka" not in str(spec_of("prod", "head")), "it never speaks to Kafka"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_files_of_profiles_are_on_a_bounded_volume_of_the_serving_pods_alone(overlay: str) -> None:
    settings = here(overlay).settings
    workers = settings.scaling.most("profile_workers", settings.ray.profile_workers)
    found = {}
    for name, template in pod_templates(overlay):
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        for mount in template["spec"]["containers"][0]["volumeMounts"]:
            if mount["mountPath"] == f"{METRICS_FOLDER}/{PROFILES}":
                found[name] = volumes[mount["name"]]["emptyDir"]["sizeLimit"]
    assert found.keys() == {"serving"}
    assert int(found["serving"].removesuffix("Mi")) > 2 * workers * settings.profile_worker.disk_mb
