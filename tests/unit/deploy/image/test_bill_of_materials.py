"""The bill of materials is in syft's form and names what is installed, no more and no less."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from deploy.image.bill_of_materials import SYFT, bill_of_materials

SCHEMA = json.loads(Path(__file__).with_name("syft-schema.json").read_text())
DPKG = """\
Package: wget
Status: install ok installed
Installed-Size: 3692
Maintainer: Somebody <a@example.com>
Architecture: amd64
Source: wget-source (1.20)
Version: 1.21-1
Description: retrieves files
 Version: not of the package

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""


@pytest.fixture
def bill(tmp_path: Path) -> dict[str, Any]:
    dpkg, release = tmp_path / "status", tmp_path / "os-release"
    dpkg.write_text(DPKG)
    release.write_text('NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="12"\n')
    for place in ("lib/Some_Thing-1.2.dist-info", "lib/some_thing/_vendor/inside-3.dist-info"):
        folder = tmp_path / "opt" / place
        folder.mkdir(parents=True)
        name, _, version = folder.name.removesuffix(".dist-info").partition("-")
        text = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n"
        (folder / "METADATA").write_text(text)
    return bill_of_materials(dpkg, release, (tmp_path / "opt",))


def test_it_has_the_form_that_syft_has(bill: dict[str, Any]) -> None:
    assert SCHEMA["$id"].split("/")[-2] == SYFT
    jsonschema.validate(bill, SCHEMA)
    for one in bill["artifacts"]:  # the schema says which fields, not that a kind has its own
        kind = {"python": "PythonPackage", "deb": "DpkgDbEntry"}.get(one["type"])
        if kind:
            jsonschema.validate(one["metadata"], {**SCHEMA, "$ref": f"#/$defs/{kind}"})
    del bill["artifacts"][0]["licenses"]
    with pytest.raises(jsonschema.ValidationError, match="'licenses' is a required property"):
        jsonschema.validate(bill, SCHEMA)


def test_it_names_packages_of_both_kinds_and_those_inside_others(bill: dict[str, Any]) -> None:
    found = {one["purl"] for one in bill["artifacts"] if one["type"] != "binary"}
    assert found == {"pkg:deb/debian/wget@1.21-1?arch=amd64", "pkg:pypi/some-thing@1.2", "pkg:pypi/inside@3"}
    assert (bill["distro"]["id"], bill["distro"]["versionID"]) == ("debian", "12")
    assert len({one["id"] for one in bill["artifacts"]}) == len(bill["artifacts"])
    (licences,) = {
        tuple(one["value"] for one in art["licenses"]) for art in bill["artifacts"] if art["type"] == "python"
    }
    assert licences == ("MIT",)
    (wget,) = (one["metadata"] for one in bill["artifacts"] if one["type"] == "deb")
    assert (wget["source"], wget["sourceVersion"], wget["installedSize"]) == ("wget-source", "1.20", 3692)
