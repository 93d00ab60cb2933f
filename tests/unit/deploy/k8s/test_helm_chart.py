"""The Helm chart has the manifests of the source, with values in their places; its schema refuses what cannot be."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from deploy import cli
from deploy.k8s.helm_chart import RELEASE_NAMESPACE, VALUES, chart, charted, default
from deploy.k8s.manifest import Manifest
from deploy.k8s.overlays import OVERLAYS, configured

HELM = os.environ.get("HELM") or shutil.which("helm")
OWN = {
    "image": "registry.example.com/own:2",
    "torchImage": "registry.example.com/own-torch:2",
    "archiveUri": "gs://own/archive",
    "registryUri": "gs://own/models",
    "checkpointsUri": "gs://own/training",
    "trainSchedule": "30 4 * * 1",
    "kafkaBootstrapServers": "one.example.com:9093",
}


@pytest.fixture(scope="module")
def files() -> Mapping[str, str]:
    return chart()


def filled(text: str, values: Mapping[str, str], namespace: str) -> list[Manifest]:
    """A template as Helm would fill it, for a template that does no more than these do."""
    places = {f".Values.{name}": value for name, value in values.items()}
    places |= {".Release.Namespace": namespace, '"{{"': "{{", ".Values | toJson | sha256sum | trunc 16 | quote": '"0"'}
    body = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(("{{- if", "{{ end")))
    return list(yaml.safe_load_all(re.sub(r"\{\{ (.+?) \}\}", lambda found: places[found[1]], body)))


def source(overlay: str, values: Mapping[str, str], namespace: str) -> list[Manifest]:
    changes = [f"{value.setting}={values[value.name]}" for value in VALUES if overlay in value.overlays]
    return charted(configured(overlay, None, [f"kubernetes.namespace={namespace}", *changes]))


def without_digest(manifests: list[Any]) -> list[Any]:
    loaded: list[Any] = json.loads(
        re.sub(r'"tidecast/settings": "\w+"', '"tidecast/settings": ""', json.dumps(manifests))
    )
    return loaded


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("own", [False, True], ids=["defaults", "own values"])
def test_a_filled_template_is_what_the_source_makes_of_the_values(
    overlay: str, own: bool, files: Mapping[str, str]
) -> None:
    values = OWN if own else {value.name: default(value) for value in VALUES}
    made = filled(files[f"templates/{overlay}.yaml"], values, "live")
    assert without_digest(made) == without_digest(source(overlay, values, "live"))
    assert RELEASE_NAMESPACE not in files[f"templates/{overlay}.yaml"]


def test_values_are_by_the_schema_and_complete(files: Mapping[str, str]) -> None:
    schema, values = json.loads(files["values.schema.json"]), yaml.safe_load(files["values.yaml"])
    jsonschema.validate(values, schema)
    jsonschema.validate({**values, **OWN}, schema)
    assert set(values) == {"overlay", *(value.name for value in VALUES)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"overlay": "production"},
        {"imagee": "x"},
        {"image": "own image"},
        {"archiveUri": "/data/archive"},
        {"archiveUri": "s3://key:secret@bucket/archive"},
        {"checkpointsUri": ".tidecast/training"},
        {"trainSchedule": "daily"},
        {"image": 3},
    ],
)
def test_the_schema_refuses(wrong: dict[str, object], files: Mapping[str, str]) -> None:
    schema, values = json.loads(files["values.schema.json"]), yaml.safe_load(files["values.yaml"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**values, **wrong}, schema)


@pytest.mark.skipif(HELM is None, reason="helm is not installed, and HELM names none")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_helm_makes_what_the_source_makes(overlay: str, tmp_path: Path) -> None:
    assert cli.main(["k8s", "chart", "--to", str(tmp_path)]) == 0
    linted = subprocess.run([str(HELM), "lint", "--strict", str(tmp_path)], capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout
    sets = [word for name, value in OWN.items() for word in ("--set-string", f"{name}={value}")]
    command = [str(HELM), "template", "one", str(tmp_path), "--namespace", "live", "--kube-version", "1.36.0"]
    command += ["--set", f"overlay={overlay}", *sets]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    def ordered(manifests: list[Any]) -> list[Any]:
        return sorted(without_digest(manifests), key=lambda one: (one["kind"], one["metadata"]["name"]))

    assert ordered(list(yaml.safe_load_all(done.stdout))) == ordered(source(overlay, OWN, "live"))


@pytest.mark.skipif(HELM is None, reason="helm is not installed, and HELM names none")
def test_helm_refuses_an_unknown_value(tmp_path: Path) -> None:
    assert cli.main(["k8s", "chart", "--to", str(tmp_path)]) == 0
    done = subprocess.run(
        [str(HELM), "template", "one", str(tmp_path), "--set", "imagee=x"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "imagee" in done.stderr
