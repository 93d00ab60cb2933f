"""What is in an image, packages of Python and of Debian, in the form of syft's JSON (an SBOM). Never changes a file.

    python -m deploy.image.bill_of_materials > tidecast.syft.json       of what this runs in

Only the standard library, for a look from outside too.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DPKG, RELEASE = Path("/var/lib/dpkg/status"), Path("/etc/os-release")
PLACES = (Path("/opt"), Path("/usr"))
SYFT = "16.0.18"  # the version of syft's schema
US = "deploy.image.bill_of_materials"


def bill_of_materials(dpkg: Path = DPKG, release: Path = RELEASE, places: tuple[Path, ...] = PLACES) -> dict[str, Any]:
    """The bill. places: where packages of Python are looked for, those that a package carries inside it too."""
    system = dict(line.split("=", 1) for line in release.read_text(encoding="utf-8").splitlines() if "=" in line)
    system = {key: value.strip('"') for key, value in system.items()}
    found = (*_of_python(places), *_of_debian(dpkg, system), *_interpreter())
    return {
        "artifacts": sorted(found, key=lambda one: (one["type"], one["name"], one["id"])),
        "artifactRelationships": [],
        "source": {"id": "tidecast", "name": "tidecast", "version": "", "type": "directory", "metadata": {"path": "/"}},
        "distro": {
            "prettyName": system.get("PRETTY_NAME", ""),
            "name": system.get("NAME", ""),
            "id": system.get("ID", ""),
            "version": system.get("VERSION", ""),
            "versionID": system.get("VERSION_ID", ""),
            "versionCodename": system.get("VERSION_CODENAME", ""),
        },
        "descriptor": {"name": US, "version": ""},
        "schema": {
            "version": SYFT,
            "url": f"https://raw.githubusercontent.com/anchore/syft/main/schema/json/schema-{SYFT}.json",
        },
    }


def _of_python(places: tuple[Path, ...]) -> Iterator[dict[str, Any]]:
    folders = {found.parent for place in places for found in place.rglob("*.dist-info") if found.is_dir()}
    for found in importlib.metadata.distributions(path=[str(folder) for folder in sorted(folders)]):
        name = re.sub(r"[-_.]+", "-", found.name).lower()
        place = str(found.locate_file(""))
        yield _artifact(
            name,
            found.version,
            "python",
            purl=f"pkg:pypi/{name}@{found.version}",
            place=place,
            licence=_said(found, "License-Expression"),
            metadata={
                "name": found.name,
                "version": found.version,
                "author": _said(found, "Author"),
                "authorEmail": _said(found, "Author-email"),
                "platform": _said(found, "Platform"),
                "sitePackagesRootPath": place,
            },
        )


def _said(package: importlib.metadata.Distribution, field: str) -> str:
    return ", ".join(package.metadata.get_all(field, []))


def _of_debian(dpkg: Path, system: dict[str, str]) -> Iterator[dict[str, Any]]:
    for paragraph in dpkg.read_text(encoding="utf-8").split("\n\n") if dpkg.exists() else ():
        of = dict(re.findall(r"^([A-Z][A-Za-z-]+): (.+)$", paragraph, re.MULTILINE))
        if not of.get("Status", "").endswith(" installed"):
            continue
        name, version, architecture = of["Package"], of["Version"], of["Architecture"]
        source, _, source_version = of.get("Source", "").partition(" ")
        yield _artifact(
            name,
            version,
            "deb",
            purl=f"pkg:deb/{system.get('ID', 'debian')}/{name}@{version}?arch={architecture}",
            place=str(dpkg),
            metadata={
                "package": name,
                "source": source,
                "version": version,
                "sourceVersion": source_version.strip("()"),
                "architecture": architecture,
                "maintainer": of.get("Maintainer", ""),
                "installedSize": int(of.get("Installed-Size", 0)),
                "files": [],
            },
        )


def _interpreter() -> Iterator[dict[str, Any]]:
    """Python itself, where it is no package of Debian's, as in the base images of the name."""
    if sys.base_prefix != "/usr":
        version = platform.python_version()
        place = str(Path(sys.executable).resolve())
        yield _artifact("python", version, "binary", purl=f"pkg:generic/python@{version}", place=place)


METADATA = {"python": "python-package", "deb": "dpkg-db-entry"}


def _artifact(
    name: str, version: str, kind: str, *, purl: str, place: str, licence: str = "", metadata: Any = None
) -> dict[str, Any]:
    licences = [{"value": licence, "spdxExpression": licence, "type": "declared", "urls": [], "locations": []}]
    return {
        "id": hashlib.sha256(f"{purl} {place}".encode()).hexdigest()[:16],
        "name": name,
        "version": version,
        "type": kind,
        "foundBy": US,
        "locations": [{"path": place, "accessPath": place}],
        "licenses": licences if licence else [],
        "language": "python" if kind == "python" else "",
        "cpes": [],
        "purl": purl,
        **({"metadataType": METADATA[kind], "metadata": metadata} if metadata else {}),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(bill_of_materials(), indent=1))
