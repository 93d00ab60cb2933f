"""The Dockerfile keeps its word as far as a text can: what it copies exists, and what pods name is in it."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

from deploy.k8s.image_packages import NEVER, bill_of_materials, packages_of
from deploy.k8s.pods import HAPROXY, NUMBA_SEED, USER
from tests.unit.deploy.k8s.made import here, pod_templates

ROOT = Path(__file__).resolve().parents[4]
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


def test_both_images_run_as_the_user_of_the_pods_and_no_other() -> None:
    stages = re.split(r"^FROM ", TEXT, flags=re.MULTILINE)
    final = {
        name: text for text in stages if (name := text.split("\n")[0].rpartition(" AS ")[2]) in ("serving", "torch")
    }
    assert set(final) == {"serving", "torch"}
    for text in final.values():
        assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == [f"{USER}:{USER}"]


def test_wget_and_bash_are_there_and_no_compiler_is() -> None:
    """KubeRay's commands are for bash, and its probes call wget: without it no worker of a RayService becomes ready."""
    (installed,) = re.findall(r"apt-get install -yqq --no-install-recommends ([\w -]+?) &&", TEXT)
    assert installed.split() == ["bash", "wget"]


def test_places_that_pods_name_are_made_in_the_image() -> None:
    script = (ROOT / "deploy" / "image.sh").read_text()
    assert f"cat >{HAPROXY} <<" in script
    assert f"NUMBA_CACHE_DIR={NUMBA_SEED} " in TEXT
    assert "NUMBA_CPU_NAME=" in TEXT, "else kernels are compiled anew on another processor"
    environment = {one["name"] for one in dict(pod_templates("prod"))["serving"]["spec"]["containers"][0]["env"]}
    assert not environment & {"NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "PATH", "PYTHONPATH"}, "the image's hold"
    assert '"\\$PROXY_LIMITS"' in script
    assert "PROXY_LIMITS" in environment


def test_script_of_the_image_is_valid() -> None:
    done = subprocess.run(
        ["bash", "-n", str(ROOT / "deploy" / "image.sh")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("image", sorted(NEVER))
def test_packages_of_an_image_are_locked_and_lack_what_it_never_imports(image: str) -> None:
    text = packages_of(image)
    names = set(PIN.findall(text))
    assert names.isdisjoint(NEVER[image])
    asked_for = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    ours = {re.split(r"[=\[ ]", text)[0] for text in asked_for} - set(NEVER[image])
    assert {*ours, "hatchling"} <= names, "what we ask for ourselves stays, whoever else needs it"
    assert text.count("--hash=sha256:") > len(names)
    cuda = {name for name in names if name.startswith("nvidia-")} | (names & {"triton"})
    assert bool(cuda) == (image == "torch"), "CUDA's libraries come with torch alone"


def test_tags_of_the_documented_images_are_those_of_the_overlays() -> None:
    named = set(re.findall(r"-t (\S+)", TEXT))
    assert named == {
        getattr(here(overlay).config, key) for overlay in ("prod", "prod-gpu") for key in ("image", "torch_image")
    }


def test_the_bill_of_materials_names_what_is_installed(tmp_path: Path) -> None:
    dpkg, release = tmp_path / "status", tmp_path / "os-release"
    dpkg.write_text(
        "Package: wget\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.21-1\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n"
    )
    release.write_text('NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="12"\n')
    bill = bill_of_materials(dpkg, release)
    found = {one["purl"] for one in bill["artifacts"]}
    assert f"pkg:pypi/ray@{importlib.metadata.version('ray')}" in found
    assert {one for one in found if one.startswith("pkg:deb")} == {"pkg:deb/debian/wget@1.21-1?arch=amd64"}
    assert (bill["distro"]["id"], bill["distro"]["versionID"]) == ("debian", "12")
    assert len({one["id"] for one in bill["artifacts"]}) == len(bill["artifacts"])


def test_each_image_has_its_bill_of_materials() -> None:
    script = (ROOT / "deploy" / "image.sh").read_text()
    assert "deploy.k8s.image_packages bill-of-materials >/opt/tidecast/" in script
    assert TEXT.count("RUN bash /tmp/image.sh") == 2
