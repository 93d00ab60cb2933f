"""The Dockerfile keeps its word as far as a text can: what it copies exists, and what pods name is in it."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

from deploy.image.packages import NEVER, packages_of
from deploy.k8s.pods import HAPROXY, NUMBA_SEED, USER
from tests.unit.deploy.k8s.made import here, pod_templates

ROOT = Path(__file__).resolve().parents[4]
FOLDER = ROOT / "deploy" / "image"
TEXT = (ROOT / "deploy" / "Dockerfile").read_text()
INSTRUCTIONS = [line.replace("\\\n", " ") for line in re.findall(r"^(?:[A-Z]+ (?:.*\\\n)*.*)$", TEXT, re.MULTILINE)]
PIN = re.compile(r"^([a-z0-9.-]+)==", re.MULTILINE)


def copied() -> list[str]:
    words = [shlex.split(line)[1:] for line in INSTRUCTIONS if line.startswith("COPY")]
    return [source for one in words if not one[0].startswith("--from") for source in one[:-1]]


def ignored(path: str) -> bool:
    kept = {
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    return path.split("/", maxsplit=1)[0] not in kept


def test_what_is_copied_exists_and_is_in_the_context() -> None:
    assert {"requirements.lock", "streaming", "actors", "training", "deploy"} <= set(copied())
    for path in copied():
        assert (ROOT / path).exists(), path
        assert not ignored(path), f".dockerignore leaves {path} out"


def test_the_image_runs_as_the_user_of_the_pods_and_no_other() -> None:
    final = re.split(r"^FROM ", TEXT, flags=re.MULTILINE)[-1]
    assert re.findall(r"^USER (.*)$", final, re.MULTILINE) == [f"{USER}:{USER}"]


def test_wget_and_bash_are_there_and_no_compiler_is() -> None:
    """KubeRay's commands are for bash, and its probes call wget: without it no worker of a RayService becomes ready."""
    (installed,) = re.findall(r"apt-get install -yqq --no-install-recommends ([\w -]+?) &&", TEXT)
    assert installed.split() == ["bash", "wget"]


def test_places_that_pods_name_are_made_in_the_image() -> None:
    script = (FOLDER / "finish.sh").read_text()
    assert f"cat >{HAPROXY} <<" in script
    assert f"NUMBA_CACHE_DIR={NUMBA_SEED} " in TEXT
    assert "NUMBA_CPU_NAME=" in TEXT, "else kernels are compiled anew on another processor"
    environment = {one["name"] for one in dict(pod_templates("prod"))["serving"]["spec"]["containers"][0]["env"]}
    assert not environment & {"NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "PATH", "PYTHONPATH"}, "the image's hold"
    assert '"\\$PROXY_LIMITS"' in script
    assert "PROXY_LIMITS" in environment


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_of_the_image_are_valid_and_called(script: Path) -> None:
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"bash deploy/image/{script.name}" in TEXT


@pytest.mark.parametrize("image", sorted(NEVER))
def test_packages_of_an_image_are_locked_and_lack_what_it_never_imports(image: str) -> None:
    text = packages_of(image)
    names = set(PIN.findall(text))
    assert names.isdisjoint(NEVER[image])
    asked_for = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    ours = {re.split(r"[=\[ ]", text)[0] for text in asked_for} - set(NEVER[image])
    assert ours <= names, "what we ask for ourselves stays, whoever else needs it"
    assert text.count("--hash=sha256:") > len(names)
    assert names.isdisjoint({"hatchling", "editables", "pathspec"}), "what only building needs"
    cuda = {name for name in names if name.startswith("nvidia-")} | (names & {"triton"})
    assert bool(cuda) == (image == "torch"), "CUDA's libraries come with torch alone"


def test_packages_of_building_are_those_that_make_a_wheel_and_what_they_need() -> None:
    names = set(PIN.findall(packages_of("build")))
    assert {"hatchling", "editables", "pathspec", "packaging"} <= names
    assert len(names) < 15


def test_tags_of_the_documented_images_are_those_of_the_overlays() -> None:
    named = set(re.findall(r"-t (\S+)", TEXT))
    assert named == {
        getattr(here(overlay).config, key) for overlay in ("prod", "prod-gpu") for key in ("image", "torch_image")
    }
