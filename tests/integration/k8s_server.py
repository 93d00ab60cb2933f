"""A real Kubernetes API server for tests, with kubectl on it: that of KUBECONFIG, or one that is started.

It is started from ../shared/k8s-real, where it was built before: to build it takes minutes
(`../shared/k8s-real/up.sh build full`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from deploy.k8s.overlays import FOLDER
from tests.e2e.running import await_true

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
REAL = SHARED / "k8s-real"
BUILT = Path(os.environ.get("K8S_REAL_BIN") or Path.home() / ".cache/k8s-real/bin")
KUBECTL = os.environ.get("KUBECTL") or shutil.which("kubectl")
NEEDS = {"api": ("etcd", "kube-apiserver"), "full": ("kube-controller-manager", "kube-scheduler", "kwok")}


def why_not(level: str) -> str:
    """Why there is none here; "" where there is. level: `api`, or `full`, with controllers and pretended nodes."""
    if KUBECTL is None:
        return "kubectl is not installed"
    if level == "api" and os.environ.get("KUBECONFIG"):
        return ""
    if not REAL.is_dir():
        return "there is no KUBECONFIG, and no ../shared/k8s-real to start an API server from"
    missing = [name for name in NEEDS[level] if not (BUILT / name).is_file()]
    return f"not built: {', '.join(missing)}; ../shared/k8s-real/up.sh build {level}" if missing else ""


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

    def get(self, *arguments: str) -> Any:
        """What `kubectl get` finds, decoded."""
        done = self.run("get", *arguments, "-o", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@contextmanager
def server(home: Path, level: str) -> Iterator[Cluster]:
    """An API server that knows the operators' kinds. home: for its state, where one is started."""
    config, stop = os.environ.get("KUBECONFIG") if level == "api" else None, None
    if not config:
        environment = {**os.environ, "K8S_REAL_HOME": str(home), "KUBECTL": str(KUBECTL)}
        started = subprocess.run(
            [REAL / "up.sh", level], env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        stop = environment
    try:
        if stop is not None:
            assert started.returncode == 0, started.stderr
            config = started.stdout.strip().splitlines()[-1]
        made = Cluster(str(config))
        if SHARED.is_dir():
            for file in sorted((SHARED / "crds").glob("*/*.yaml")):
                done = made.run("apply", "--server-side", "-f", str(file))
                assert done.returncode == 0, done.stderr
            await_true("the server knows the operators' kinds", lambda: _knows_kinds(made))
        yield made
    finally:
        if stop is not None:
            subprocess.run([REAL / "down.sh"], env=stop, capture_output=True, check=True, timeout=120)


def _knows_kinds(cluster: Cluster) -> bool:
    """Whether the server has the kinds that it was given: it takes them in one after the other."""
    known = cluster.run("api-resources", "-o", "name").stdout
    kinds = ("rayservices.ray.io", "rayclusters.ray.io", "kafkausers.kafka", "podmonitors.mon", "prometheusrules.mon")
    return all(kind in known for kind in kinds)


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


def namespace_with(name: str, labels: Mapping[str, str]) -> str:
    """A namespace, as JSON."""
    return json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def pod_of(name: str, namespace: str, template: Mapping[str, Any]) -> dict[str, Any]:
    """A pod of a template, without the mounts of volumes that only its controller adds, such as a StatefulSet's."""
    spec = json.loads(json.dumps(template["spec"]))
    there = {volume["name"] for volume in spec["volumes"]}
    for container in spec["containers"]:
        container["volumeMounts"] = [mount for mount in container["volumeMounts"] if mount["name"] in there]
    metadata = {**template["metadata"], "name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
