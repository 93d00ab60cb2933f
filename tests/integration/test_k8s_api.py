"""A real Kubernetes API server takes every overlay, strictly, and admits its pods where only `restricted` ones may be.

The server is that of KUBECONFIG, or one that is started from ../shared/k8s-real, where it was built before: to build it
takes minutes (`../shared/k8s-real/up.sh build api`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.k8s.overlays import FOLDER, OVERLAYS, configured, of_installation, write
from tests.unit.deploy.k8s.made import of_kind, pod_templates

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
REAL = SHARED / "k8s-real"
BUILT = Path(os.environ.get("K8S_REAL_BIN") or Path.home() / ".cache/k8s-real/bin") / "kube-apiserver"
KUBECTL = os.environ.get("KUBECTL") or shutil.which("kubectl")
CRDS_KNOWN_S = 30.0


def why_not() -> str:
    if KUBECTL is None:
        return "kubectl is not installed"
    if os.environ.get("KUBECONFIG"):
        return ""
    if not REAL.is_dir():
        return "there is no KUBECONFIG, and no ../shared/k8s-real to start an API server from"
    return "" if BUILT.is_file() else "the API server is not built: ../shared/k8s-real/up.sh build api"


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "none")


class Cluster:
    """kubectl on one API server."""

    def __init__(self, config: str) -> None:
        self._environment = {**os.environ, "KUBECONFIG": config}

    def run(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(KUBECTL), *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            env=self._environment,
            timeout=120,
        )

    def apply(self, text: str, *options: str) -> subprocess.CompletedProcess[str]:
        return self.run("apply", "--server-side", "--validate=strict", *options, "-f", "-", given=text)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """An API server that knows the operators' kinds."""
    config, stop = os.environ.get("KUBECONFIG"), None
    if not config:
        home = tmp_path_factory.mktemp("k8s")
        environment = {**os.environ, "K8S_REAL_HOME": str(home), "KUBECTL": str(KUBECTL)}
        started = subprocess.run(
            [REAL / "up.sh", "api"], env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert started.returncode == 0, started.stderr
        config, stop = started.stdout.strip().splitlines()[-1], environment
    try:
        made = Cluster(config)
        if SHARED.is_dir():
            for file in sorted((SHARED / "crds").glob("*/*.yaml")):
                done = made.run("apply", "--server-side", "-f", str(file))
                assert done.returncode == 0, done.stderr
            _await_kinds(made)
        yield made
    finally:
        if stop is not None:
            subprocess.run([REAL / "down.sh"], env=stop, capture_output=True, check=True, timeout=120)


def _await_kinds(cluster: Cluster) -> None:
    """Waits until the server has the kinds that it was given: it takes them in one after the other."""
    until = time.monotonic() + CRDS_KNOWN_S
    while not all(
        kind in cluster.run("api-resources", "-o", "name").stdout
        for kind in ("rayservices.ray.io", "kafkausers.kafka", "podmonitors.monitoring", "prometheusrules.monitoring")
    ):
        assert time.monotonic() < until, "the server does not know the operators' kinds"
        time.sleep(0.5)


def in_namespace(folder: Path, place: Path, name: str) -> str:
    """A kustomization over a folder that moves it to a namespace of its own, as YAML. Images are replaced as well."""
    place.mkdir()
    # below one root, since kustomize takes no absolute path
    shutil.copytree(FOLDER / "base", place / "base")
    shutil.copytree(folder, place / "overlays" / "one")
    images = [{"name": "tidecast", "newName": "registry.example.com/tidecast", "newTag": "9"}]
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": name,
        "resources": ["overlays/one"],
        "images": images,
        "configurations": ["overlays/one/kustomizeconfig.yaml"],
    }
    (place / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    done = subprocess.run([str(KUBECTL), "kustomize", str(place)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    name = f"tidecast-{uuid.uuid4().hex[:8]}"
    yield name
    cluster.run("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubectl_applies_the_committed_overlay(overlay: str, cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    text = in_namespace(FOLDER / "overlays" / overlay, tmp_path / "own", namespace)
    done = cluster.apply(text)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == text.count("\nkind: ")
    again = cluster.apply(text)
    assert again.returncode == 0, f"a second time: {again.stderr}"


def test_a_folder_that_the_command_writes_applies_too(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    write(of_installation(configured("prod", None, [f"kubernetes.namespace={namespace}"])), tmp_path)
    done = cluster.run("apply", "--server-side", "--validate=strict", "-k", str(tmp_path))
    assert done.returncode == 0, done.stderr


def test_an_unknown_field_is_refused(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    text = in_namespace(FOLDER / "overlays" / "dev", tmp_path / "own", namespace)
    done = cluster.apply(text.replace("upgradeStrategy:", "upgradestrategy:"))
    assert done.returncode != 0
    assert "upgradestrategy" in done.stderr


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_images_are_replaced_in_rays_kinds_too(overlay: str, tmp_path: Path) -> None:
    text = in_namespace(FOLDER / "overlays" / overlay, tmp_path / "own", "elsewhere")
    assert "image: tidecast:0.1.0" not in text
    assert (
        text.count("image: registry.example.com/tidecast:9") == 7
    )  # head, serving and rollback with what prepares them, autoscaler


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_admitted_where_only_restricted_ones_may_be(overlay: str, cluster: Cluster, namespace: str) -> None:
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    made = cluster.apply(_namespace(namespace, level))
    assert made.returncode == 0, made.stderr
    for account in of_kind(overlay, "ServiceAccount"):
        done = cluster.apply(json.dumps({**account, "metadata": {**account["metadata"], "namespace": namespace}}))
        assert done.returncode == 0, done.stderr
    for name, template in pod_templates(overlay):
        pod = _pod(name, namespace, template)
        done = cluster.apply(json.dumps(pod), "--dry-run=server")
        assert done.returncode == 0, f"{name}: {done.stderr}"
    pod["spec"]["containers"][0].pop("securityContext")
    refused = cluster.apply(json.dumps(pod), "--dry-run=server")
    assert "violates PodSecurity" in refused.stderr, "else nobody judges"


def _namespace(name: str, labels: Mapping[str, str]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def _pod(name: str, namespace: str, template: Mapping[str, Any]) -> dict[str, Any]:
    """A pod of a template, without the mounts of volumes that only its controller adds, such as a StatefulSet's."""
    spec = json.loads(json.dumps(template["spec"]))
    there = {volume["name"] for volume in spec["volumes"]}
    for container in spec["containers"]:
        container["volumeMounts"] = [mount for mount in container["volumeMounts"] if mount["name"] in there]
    metadata = {**template["metadata"], "name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
