"""An installation's pods on one machine: head, serving and encoder, each with an address of its own. For one thread.

What the operator does stands here: KubeRay's `ray start`, its token, and its request to the head that deploys the
application; and what the kubelet does: a container that ends is started again. Kafka runs outside, as on Kubernetes.
Without an image with torch, the Encoder's Ray is the checkout's.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from deploy.http.client import Client
from deploy.image.build import mounted
from deploy.image.buildah import Buildah
from deploy.k8s.installation import CONFIG_FILE, CONFIG_FOLDER, METRICS_FOLDER, STORE_FOLDER
from deploy.k8s.overlays import configured
from deploy.k8s.pods import USER
from deploy.k8s.ray_service import ray_service
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.log.topic_check import check_topics
from tests.e2e.hosts.network import Network
from tests.e2e.image.container import Pod
from tests.e2e.running import await_true

ROOT = Path(__file__).resolve().parents[3]
START_S = 240.0  # for Ray or the application, on two busy cores
GCS, DASHBOARD, KAFKA = 6379, 8265, 9092
ENCODER_LOG = "encoder.txt"  # of the Encoder's Ray where it is the checkout's


class _Kubelet(threading.Thread):
    """Keeps containers running: on a busy machine Ray gives up after half a minute. restarts: how often."""

    def __init__(self) -> None:
        super().__init__(name="kubelet", daemon=True)
        self._kept: queue.SimpleQueue[Callable[[], subprocess.Popen[bytes]]] = queue.SimpleQueue()
        self._halt = threading.Event()
        self.restarts = 0

    def keep(self, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        """A container, which is started now, and again where it ends."""
        self._kept.put(start)

    def run(self) -> None:
        running: list[tuple[Callable[[], subprocess.Popen[bytes]], subprocess.Popen[bytes]]] = []
        while not self._halt.wait(0.2):
            starts = [self._kept.get() for _ in range(self._kept.qsize())]
            for one in list(running):
                if one[1].poll() is not None:
                    running.remove(one)
                    starts.append(one[0])
                    self.restarts += 1
            running += [(start, start()) for start in starts]

    def halt(self) -> None:
        self._halt.set()
        if self.is_alive():
            self.join()


class Installation:
    """The installation of the overlay `dev`. A context manager: everything that was started is gone on exit."""

    def __init__(self, buildah: Buildah, image: str, torch_image: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ti", dir="/tmp"))  # short: Ray's sockets lie below it
        self._buildah, self._images = buildah, {"serving": image, "torch": torch_image}
        self._network = Network()
        self._stack = contextlib.ExitStack()
        self._token = secrets.token_hex(32)
        self.pods: dict[str, Pod] = {}
        self._kubelet = _Kubelet()
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> Installation:
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._stack.enter_context(self._network)
        try:
            self._start()
        except BaseException as err:
            err.add_note(self.logs())
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._kubelet.halt()
        self._stack.close()

    @property
    def restarts(self) -> int:
        """How many containers ended and were started again."""
        return self._kubelet.restarts

    def logs(self) -> str:
        """The last lines of every container."""
        paths = [*(pod.log for pod in self.pods.values()), self.folder / ENCODER_LOG]
        said = (f"{path.stem}: {path.read_text(errors='replace')[-3_000:]}" for path in paths if path.exists())
        return "\n".join(said)

    @property
    def log(self) -> KafkaLog:
        """The log, for a test."""
        return KafkaLog(self._here.settings.kafka)

    def client(self) -> Client:
        """A client of the serving pod."""
        address, http = self.pods["serving"].host.address, self._here.settings.http
        return Client(f"http://{address}:{http.port}", admin_url=f"http://{address}:{http.admin}")

    def _start(self) -> None:
        self._start_kafka()
        service = ray_service(self._here)["spec"]
        cluster = service["rayClusterConfig"]
        groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
        roots = {kind: self._root(image) for kind, image in self._images.items() if image}
        head = self._pod("head", cluster["headGroupSpec"]["template"], roots["serving"])
        serving = self._pod("serving", groups["serving"]["template"], roots["serving"])
        began_s = time.monotonic()
        for pod in (head, serving):
            pod.initialise()
        self.seconds["kernels copied"] = time.monotonic() - began_s
        address = f"{head.host.address}:{GCS}"
        self._kubelet.start()
        self._kubelet.keep(lambda: head.start(_ray_start(cluster["headGroupSpec"], "")))
        self._await("Ray's head", lambda: head.run("ray", "health-check", "--address", address).returncode == 0)
        self.seconds["head"] = time.monotonic() - began_s
        self._kubelet.keep(lambda: serving.start(_ray_start(groups["serving"], address)))
        self._start_encoder(groups["encoder"], address, roots.get("torch"))
        self._await("the head's dashboard", lambda: self._deployed(yaml.safe_load(service["serveConfigV2"])))
        self.seconds["deploys"] = time.monotonic() - began_s
        probe = groups["serving"]["template"]["spec"]["containers"][0]["readinessProbe"]["exec"]["command"]
        self._await("the pod's readiness", lambda: serving.run(*probe).returncode == 0)
        self.seconds["ready"] = time.monotonic() - began_s

    def _await(self, what: str, holds: Callable[[], bool]) -> None:
        await_true(what, holds, START_S)

    def _start_kafka(self) -> None:
        store = self._network.add("store")
        environment = {
            "TIDECAST_LOCAL_KAFKA__HOST": store.address,
            "TIDECAST_LOCAL_KAFKA__FOLDER": str(self.folder / "kafka"),
        }
        command = [sys.executable, "-m", "deploy.cli", "kafka", "start"]
        log = self.folder / "kafka.txt"
        code = store.start(command, log, {**environment, "PYTHONPATH": str(ROOT)}, self.folder).wait(START_S)
        assert code == 0, log.read_text()
        self._here = configured(
            "dev",
            None,
            [
                "kubernetes.kafka=existing",
                f"kafka.bootstrap_servers={store.address}:{KAFKA}",
                "topics.room_partitions=4",
                "topics.viewer_partitions=4",
                "encoder.precision=fp32",
            ],
        )
        with KafkaAdmin(self._here.settings.kafka) as admin:
            check_topics(admin, self._here.settings.topics)
        config, data = self.folder / "config", self.folder / "data"
        for folder in (config, data):
            folder.mkdir()
        os.chown(data, USER, USER)
        (config / CONFIG_FILE).write_text(self._here.toml)
        config.chmod(0o755)
        self.folder.chmod(0o755)

    def _root(self, image: str) -> Path:
        return self._stack.enter_context(mounted(self._buildah, image))

    def _pod(self, name: str, template: Mapping[str, Any], root: Path) -> Pod:
        said = json.loads(self._buildah("inspect", "--type=image", self._images["serving"]))
        pod = self.pods[name] = Pod(
            name=name,
            template=template,
            root=root,
            image_environment=said["OCIv1"]["config"]["Env"],
            host=self._network.add(name),
            folder=self.folder / name,
            volumes={CONFIG_FOLDER: self.folder / "config", STORE_FOLDER: self.folder / "data"},
            environment={"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self._token, **_OF_KUBERAY},
        )
        return pod

    def _start_encoder(self, group: Mapping[str, Any], address: str, root: Path | None) -> None:
        if root is not None:
            pod = self._pod("encoder", group["template"], root)
            pod.initialise()
            self._kubelet.keep(lambda: pod.start(_ray_start(group, address)))
            return
        host = self._network.add("encoder")
        container = group["template"]["spec"]["containers"][0]
        given = {one["name"]: one["value"] for one in container["env"]}
        environment = {
            **{
                name: value for name, value in given.items() if name.startswith("RAY_") and "HAPROXY_BINARY" not in name
            },
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self._token,
            "RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL": "minor",  # the image's Python may have another patch
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder),
        }
        (*_, line) = _ray_start(group, address)
        line += f" --temp-dir={self.folder / 'ray'} --node-ip-address={host.address}"
        # the checkout's Encoder has this machine's /tmp; only what it sees of the folder of metrics is its own
        own = self.folder / "metrics"
        own.mkdir()
        Path(METRICS_FOLDER).mkdir(exist_ok=True)
        self._stack.callback(_remove_if_empty, Path(METRICS_FOLDER))
        line = f"mount --bind {own} {METRICS_FOLDER} && PATH={Path(sys.executable).parent}:$PATH && {line}"
        self._kubelet.keep(lambda: host.start(["bash", "-c", line], self.folder / ENCODER_LOG, environment))

    def _deployed(self, config: Any) -> bool:
        """Whether the head took the configuration: KubeRay's request."""
        request = urllib.request.Request(
            f"http://{self.pods['head'].host.address}:{DASHBOARD}/api/serve/applications/",
            data=json.dumps(config).encode(),
            method="PUT",
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as err:
            raise AssertionError(f"{err}: {err.read().decode()[-2_000:]}") from err
        except OSError:
            return False


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # another run's
        folder.rmdir()


_OF_KUBERAY = {"RAY_USAGE_STATS_KUBERAY_IN_USE": "1", "RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE": "1", "RAY_PORT": str(GCS)}


def _ray_start(group: Mapping[str, Any], address: str) -> Sequence[str]:
    """KubeRay's command for a pod. address: of the head, "" for the head itself."""
    parameters = {**group["rayStartParams"], "metrics-export-port": "8080", "dashboard-agent-listen-port": "52365"}
    if not address:
        parameters["no-monitor"] = "true"  # the autoscaler is a container of its own
    resources = {name: float(number) for name, number in group.get("resources", {}).items()}
    if "CPU" in resources:
        parameters["num-cpus"] = f"{resources.pop('CPU'):.0f}"
    if resources:
        parameters["resources"] = f"'{json.dumps(resources)}'"
    words = [f"--{name}" if value == "true" else f"--{name}={value}" for name, value in parameters.items()]
    where = f"--address={address}" if address else "--head"
    return ["/bin/bash", "-c", f"ulimit -n 65536; ray start {where} {' '.join(words)} --block"]
