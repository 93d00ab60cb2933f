"""The image `serving`, built without Docker or a registry: what is in it, and that its pods keep the demo's promises.

TIDECAST_IMAGES=FOLDER takes images that `make image ARGS="... --storage FOLDER"` built there before, and
TIDECAST_TORCH_IMAGE=NAME one of them for the Encoder, which otherwise comes from this checkout.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import distributions
from pathlib import Path

import pytest

from deploy.commands.demo import summary
from deploy.demo.asker import Asker
from deploy.demo.platform_view import PlatformView
from deploy.demo.promises import Promises
from deploy.http.client import NotUp
from deploy.http.prometheus_text import parse
from deploy.image import build
from deploy.image.buildah import Buildah
from deploy.k8s.pods import HAPROXY, USER
from streaming.clock import SystemClock
from streaming.simulated.config import SimulationConfig
from streaming.simulated.simulate import Platform
from tests.e2e.hosts import network
from tests.e2e.image import container
from tests.e2e.image.installation import START_S, Installation
from tests.e2e.running import Load, await_true

WHY_NOT = build.why_not() or container.why_not() or network.why_not()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

ROOT = Path(__file__).resolve().parents[3]
BUILT = os.environ.get("TIDECAST_IMAGES", "")
IMAGE = "localhost/tidecast:0.1.0"
MOST_BYTES = 1.5e9
NEVER = re.compile(r"^(c\+\+|cc|c[89]9|gcc|g\+\+|clang|cpp|ld|as|make|pip\d?|conda|uv)(-[\d.]+)?$")
PLATFORM = SimulationConfig(seed=3, rooms=12, viewers=80, chat_per_room_s=0.3, room_lifetime_s=20.0, visit_s=20.0)
# what KubeRay asks with wget before it takes a worker for ready
OF_KUBERAY = ("http://localhost:52365/api/local_raylet_healthz", "http://localhost:8000/-/healthz")
WATCHED_S, LONGEST_S = 25.0, 120.0
ASK_EVERY_S = 0.05


@pytest.fixture(scope="module")
def buildah(request: pytest.FixtureRequest) -> Iterator[Buildah]:
    """buildah with the image, built by the command that a person types."""
    if BUILT:
        yield Buildah(Path(BUILT))
        return
    folder = Path(tempfile.mkdtemp(prefix="tidecast-images-"))
    try:
        command = [sys.executable, "-m", "deploy.image.build", "serving", "--storage", str(folder), "--json"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4_000:]
        built = json.loads(done.stdout)
        report(request, str(build.Built(**built)))
        assert built["image"] == IMAGE
        yield Buildah(folder)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def root(buildah: Buildah) -> Iterator[Path]:
    """The files of the image."""
    with build.mounted(buildah, IMAGE) as folder:
        yield folder


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, buildah: Buildah) -> Iterator[Installation]:
    """The image's pods."""
    with Installation(buildah, IMAGE, os.environ.get("TIDECAST_TORCH_IMAGE", "")) as started:
        times = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in started.seconds.items())
        report(request, f"seconds since the pods began: {times}; {started.restarts} restarts")
        yield started


def report(request: pytest.FixtureRequest, text: str) -> None:
    """Prints a figure, also where the test passes."""
    plugins = request.config.pluginmanager
    if (reporter := plugins.get_plugin("terminalreporter")) is not None:
        with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
            reporter.write_line(f"\n{text}")


def files(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every regular file of the image: its path, and what is known of it."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if stat.S_ISREG((of := path.lstat()).st_mode):
                yield f"/{path.relative_to(root)}", of


def test_no_compiler_no_privilege_and_nothing_of_this_machine_is_in_it(root: Path, buildah: Buildah) -> None:
    said = json.loads(buildah("inspect", "--type=image", IMAGE))["OCIv1"]["config"]
    assert said["User"] == f"{USER}:{USER}"
    found = dict(files(root))
    commands = {path for path in found if "/bin/" in path or "/sbin/" in path}
    assert {path for path in commands if NEVER.match(path.rpartition("/")[2])} == set()
    assert {"/usr/bin/bash", "/usr/bin/wget", HAPROXY} <= commands
    assert {path for path, of in found.items() if of.st_mode & 0o6000} == set()
    assert {path for path, of in found.items() if of.st_uid == USER or of.st_mode & 0o002} == set()
    leftovers = re.compile(r"/(\.git|\.cache|pip\.conf|\.netrc|pip|_pip)(/|$)|^/var/(lib/apt/lists|cache)/.+\.")
    assert {path for path in found if leftovers.search(path)} == set()
    assert {path for path in found if path.startswith(("/dev/", "/home/", "/src/", "/tmp/", "/run/secrets"))} == set()
    assert not [variable for variable in said["Env"] if re.match("PIP|TORCH|HTTPS?_PROXY", variable, re.IGNORECASE)]
    assert sum(of.st_size for of in found.values()) < MOST_BYTES


def test_the_bill_of_materials_is_what_is_installed(root: Path) -> None:
    bill = json.loads((root / "opt/tidecast/tidecast.syft.json").read_text())
    by_kind = {
        kind: {(one["name"], one["version"]) for one in bill["artifacts"] if one["type"] == kind}
        for kind in ("python", "deb")
    }
    dpkg = ["dpkg-query", f"--root={root}", "--show", "--showformat=${db:Status-Status} ${Package} ${Version}\n"]
    lines = subprocess.run(dpkg, capture_output=True, text=True, check=True).stdout.splitlines()
    assert by_kind["deb"] == {tuple(line.split()[1:]) for line in lines if line.startswith("installed ")}
    (site,) = (root / "opt/tidecast/venv/lib").glob("python*/site-packages")
    installed = {(re.sub(r"[-_.]+", "-", one.name).lower(), one.version) for one in distributions(path=[str(site)])}
    assert {name for name, _ in installed} >= {"tidecast", "ray", "numba"}
    assert installed <= by_kind["python"]
    locked = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert {(name, version) for name, version in installed if name != "tidecast"} <= set(locked.items())
    elsewhere = {one["locations"][0]["path"] for one in bill["artifacts"] if one["type"] == "python"}
    assert all((root / place.lstrip("/")).is_dir() for place in elsewhere)


def test_a_pod_of_it_starts_as_nobody_on_a_root_that_nobody_can_write(running: Installation) -> None:
    pod = running.pods["serving"]
    assert pod.run("id", "-u").stdout.strip() == str(USER)
    status = dict(re.findall(r"^(\w+):\s+(\S+)", pod.run("cat", "/proc/1/status").stdout, re.MULTILINE))
    assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    for place in ("/x", "/opt/tidecast/x", "/usr/bin/x", "/etc/tidecast/x"):
        refused = pod.run("touch", place)
        assert refused.returncode, place
        assert "Read-only" in refused.stderr or "denied" in refused.stderr
    for address in OF_KUBERAY:  # asked again and again, as a probe is: Serve's HAProxy has just got its replicas
        probe = partial(pod.run, "wget", "--tries", "1", "-T", "10", "-q", "-O-", address)
        await_true(f"success from {address}", lambda probe=probe: probe().stdout == "success")
    assert pod.run("tidecast", "--help").returncode == 0
    rendered = pod.run("tidecast", "k8s", "render", "--overlay", "prod")
    assert "kind: RayService" in rendered.stdout, rendered.stderr


def test_pods_keep_the_promises_of_the_demo_and_compile_nothing(
    request: pytest.FixtureRequest, running: Installation
) -> None:
    view = PlatformView(running.log)
    promises = Promises(view.ended_at_ms)
    asker = Asker(running.client(), promises, view.active, SystemClock())
    with _loaded(running), contextlib.closing(running.client()) as client, _beside(view.run):
        try:
            await_true("a room with an embedding", lambda: _encoded(running), START_S)
        except AssertionError as err:
            err.add_note(running.logs())
            raise
        first = now = parse(client.metrics())
        with _beside(lambda stop: asker.run(stop, ASK_EVERY_S, 10)):
            began_s = time.monotonic()
            while (took_s := time.monotonic() - began_s) < WATCHED_S or not view.ended():
                assert took_s < LONGEST_S, "no room ended, so that none could be wrongly shown"
                now = parse(client.metrics())
                promises.check_metrics(now, time.monotonic())
                promises.check_processes(client.status())
                time.sleep(1.0)
    verdict = promises.verdict(now, first)
    report(request, summary(verdict, ()))
    assert verdict.broken == ()
    assert verdict.answers > 50
    assert verdict.items > verdict.answers
    serving = running.pods["serving"]
    seeded, used = (
        _machine_code(folder) for folder in (serving.root / "opt/tidecast/numba", serving.volume("/tmp") / "numba")
    )
    assert len(seeded) > 50
    assert used == seeded, "kernels were compiled in the pod"


@contextlib.contextmanager
def _loaded(running: Installation) -> Iterator[None]:
    """The simulated platform's events arrive."""
    load = Load(running.log, Platform(PLATFORM))
    load.start()
    try:
        yield
    finally:
        load.halt()


@contextlib.contextmanager
def _beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Something that runs until it is told to stop."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def _encoded(running: Installation) -> bool:
    with contextlib.closing(running.client()) as client, contextlib.suppress(NotUp):
        return any(item.receipt.encoder_version for item in client.recommend("nobody").rooms)
    return False


def _machine_code(folder: Path) -> dict[str, str]:
    """The compiled kernels by file: a digest, which is another where one was compiled anew."""
    found = sorted(folder.rglob("*.nb[ci]"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}
