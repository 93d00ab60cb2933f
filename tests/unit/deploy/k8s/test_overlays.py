"""The committed folders are what the source makes; settings reach them; what holds on one machine only is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from deploy import cli
from deploy.config.kubernetes_settings import KubernetesConfig
from deploy.config.settings import load
from deploy.k8s.manifest import address
from deploy.k8s.overlays import FOLDER, OVERLAYS, committed, configured, manifests, of_installation, user_secrets
from streaming.errors import ConfigError
from tests.unit.deploy.k8s.made import here, made, of_kind, pod_templates, the


def test_committed_files_are_what_the_source_makes_and_no_more() -> None:
    there = {
        str(path.relative_to(FOLDER)): path.read_text()
        for place in ("base", "overlays")
        for path in (FOLDER / place).rglob("*.yaml")
    }
    assert there == committed(), "`make k8s` brings them up to date"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_base_and_overlay_together_are_all_manifests(overlay: str) -> None:
    texts = [
        (FOLDER / place / name).read_text()
        for place in ("base", f"overlays/{overlay}")
        for name in yaml.safe_load((FOLDER / place / "kustomization.yaml").read_text())["resources"]
        if name.endswith(".yaml")
    ]
    loaded = [one for text in texts for one in yaml.safe_load_all(text)]
    assert sorted(loaded, key=address) == sorted(made(overlay), key=address)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_two_manifests_have_one_address(overlay: str) -> None:
    addresses = [address(one) for one in made(overlay)]
    assert len(set(addresses)) == len(addresses)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_secret_and_config_map_that_a_pod_names_exists_or_is_the_users(overlay: str) -> None:
    given = {
        *(("Secret", name) for name in user_secrets(here(overlay))),
        *(("Secret", one["metadata"]["name"]) for one in of_kind(overlay, "KafkaUser")),  # Strimzi makes them
        *(("Secret", f"{one['metadata']['name']}-cluster-ca-cert") for one in of_kind(overlay, "Kafka")),
        *(("ConfigMap", one["metadata"]["name"]) for one in of_kind(overlay, "ConfigMap")),
        ("ConfigMap", "kube-root-ca.crt"),  # Kubernetes makes it in every namespace
        *(("PersistentVolumeClaim", one["metadata"]["name"]) for one in of_kind(overlay, "PersistentVolumeClaim")),
        *(("ServiceAccount", one["metadata"]["name"]) for one in of_kind(overlay, "ServiceAccount")),
    }
    named = set()
    for _, template in pod_templates(overlay):
        spec = template["spec"]
        named.add(("ServiceAccount", spec["serviceAccountName"]))
        for volume in spec["volumes"]:
            for source in volume.get("projected", {}).get("sources", [volume]):
                named |= {
                    ("Secret", source[key].get("name") or source[key]["secretName"])
                    for key in ("secret",)
                    if key in source
                }
                named |= {("ConfigMap", source["configMap"]["name"])} if "configMap" in source else set()
            if "persistentVolumeClaim" in volume:
                named.add(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]))
        for container in spec["containers"]:
            named |= {("Secret", one["secretRef"]["name"]) for one in container.get("envFrom", [])}
            named |= {
                ("Secret", one["valueFrom"]["secretKeyRef"]["name"]) for one in container["env"] if "valueFrom" in one
            }
    redis = the(overlay, "RayService")["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"]["redisPassword"]
    named.add(("Secret", redis["valueFrom"]["secretKeyRef"]["name"]))
    assert named <= given
    assert {name for kind, name in named if kind == "Secret"} >= set(user_secrets(here(overlay)))


def test_a_setting_of_the_command_line_wins_over_the_file_and_that_over_the_overlay(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[kubernetes]\nnamespace = "live"\nimage = "own:1"\n[http]\nreplicas = 5\n')
    settings = configured("prod", own, ["kubernetes.image=own:2"]).settings
    assert (settings.kubernetes.namespace, settings.kubernetes.image, settings.http.replicas) == ("live", "own:2", 5)
    assert settings.topics.room_partitions == 12, "the overlay's, of which the file says nothing"


def test_the_namespace_and_the_image_are_everywhere() -> None:
    elsewhere = manifests(configured("dev", None, ["kubernetes.namespace=live", "kubernetes.image=registry/own:2"]))
    assert {one["metadata"].get("namespace", one["metadata"]["name"]) for one in elsewhere} == {"live"}
    text = str(elsewhere)
    assert "'tidecast:0.1.0'" not in text
    assert 'namespace="tidecast"' not in text


def test_images_of_a_private_registry_are_pulled_with_a_secret_of_the_user() -> None:
    private = configured("prod", None, ["kubernetes.pull_secret=registry"])
    accounts = [one for one in manifests(private) if one["kind"] == "ServiceAccount"]
    used = {template["spec"]["serviceAccountName"] for _, template in pod_templates("prod")}
    assert used == {one["metadata"]["name"] for one in accounts}
    assert all(one["imagePullSecrets"] == [{"name": "registry"}] for one in accounts)
    assert "dockerconfigjson" in user_secrets(private)["registry"]
    assert "imagePullSecrets" not in str(made("prod"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("archive.uri=.tidecast/archive", "a place in one pod"),
        ("registry.uri=file:///tmp/models", "a place in one pod"),
        ("training.checkpoints=/var/training", "a place in one pod"),
        ("training.checkpoints=file:///mnt/training", "a place in one pod"),
        ("archive.uri=s3://key:secret@bucket/archive", "holds a password"),
        ("training.checkpoints=s3://key:secret@bucket/training", "training.checkpoints holds a password"),
        ("http.host=127.0.0.1", "which no other pod reaches"),
        ("kubernetes.kafka=existing", "kafka.bootstrap_servers is empty"),
        ("training.every_s=60", "kubernetes.train_schedule"),
        ("ray.encoder_gpus=0.5", r"kubernetes\.gpu says it: 0\.0"),
        ("kubernetes.name=Tidecast", "at most 24 characters"),
        ("kubernetes.name=" + "a" * 25, "at most 24 characters"),
        ("kubernetes.most_serving_pods=0", "at least 1"),
        ("kubernetes.serving_memory=8GB", "a size such as 8Gi"),
        ("scaling.encoders=1", "at least the least number of them, 2"),
        ("kubernetes.nmespace=x", r"did you mean kubernetes\.namespace"),
        ("namespace=x", "give section.key=value"),
    ],
)
def test_what_cannot_be_on_a_cluster_is_refused(change: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        manifests(configured("prod", None, [change]))


def test_no_secret_stands_in_any_manifest(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[kafka]\nsasl_plain_password = "hush-hush"\nssl_password = "hush-hush"\n')
    for overlay in OVERLAYS:
        assert "hush-hush" not in str(manifests(configured(overlay, own)))


def test_settings_in_the_pods_load_to_the_settings_of_the_installation(tmp_path: Path) -> None:
    for overlay in OVERLAYS:
        mounted = tmp_path / "tidecast.toml"
        mounted.write_text(the(overlay, "ConfigMap", "tidecast-settings")["data"]["tidecast.toml"])
        in_pods = dataclasses.replace(here(overlay).settings, kubernetes=KubernetesConfig())
        assert load(mounted, {}).settings == in_pods


def test_render_prints_yaml_that_loads_to_the_manifests(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["k8s", "render", "--overlay", "dev", "--set", "kubernetes.monitoring=false"]) == 0
    printed = list(yaml.safe_load_all(capsys.readouterr().out))
    assert printed == manifests(configured("dev", None, ["kubernetes.monitoring=false"]))


def test_an_unknown_overlay_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["k8s", "render", "--overlay", "production"]) == 2
    assert "there are dev, prod, prod-gpu, existing-kafka" in capsys.readouterr().err


def test_a_folder_of_ones_own_names_each_of_its_files() -> None:
    texts = of_installation(here("prod"))
    listed = yaml.safe_load(texts["kustomization.yaml"])
    assert {*listed["resources"], *listed["configurations"], "kustomization.yaml"} == set(texts)
