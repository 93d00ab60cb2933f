"""A Helm chart of the overlays: their manifests, with places for values. Never talks to a cluster.

A value goes into the settings as a mark, and the mark in the manifests becomes the value's place in the template. So a
chart has each value wherever the source has it: in pods, in the settings' file and in rules.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deploy.k8s.installation import Installation
from deploy.k8s.manifest import Manifest, as_yaml, yaml_text
from deploy.k8s.overlays import OVERLAYS, configured, manifests

VERSION = "0.1.0"
RELEASE_NAMESPACE = "namespace-of-the-release"
DIGEST = "tidecast/settings: "
OPEN = "{{"
DEFAULT_OVERLAY = "prod"


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the chart: its name, the setting that it is, what it must look like, and a mark that looks so too."""

    name: str
    setting: str
    description: str
    pattern: str
    mark: str
    overlays: tuple[str, ...] = OVERLAYS  # in which it has an effect

    @property
    def place(self) -> str:
        """The value's place in a template."""
        return f"{OPEN} .Values.{self.name} }}}}"


IN_STORE = tuple(overlay for overlay in OVERLAYS if overlay != "dev")
IMAGE, URI = r"^[\w./:@-]+$", r"^[a-z][a-z0-9+.-]*://[^\s@]+$"
VALUES = (
    Value("image", "kubernetes.image", "of the pods that answer and read the log", IMAGE, "image-of-values"),
    Value("torchImage", "kubernetes.torch_image", "of the pods that encode and train", IMAGE, "torch-image-of-values"),
    Value("archiveUri", "archive.uri", "where every topic is kept", URI, "s3://archive-of-values", IN_STORE),
    Value("registryUri", "registry.uri", "where versions of the models are", URI, "s3://registry-of-values", IN_STORE),
    Value(
        "checkpointsUri",
        "training.checkpoints",
        "where a training is kept, to go on in another pod",
        URI,
        "s3://checkpoints-of-values",
        IN_STORE,
    ),
    Value("trainSchedule", "kubernetes.train_schedule", "when to train, in UTC", r"^(\S+ ){4}\S+$", "train of values"),
    Value(
        "kafkaBootstrapServers",
        "kafka.bootstrap_servers",
        "host:port,host:port of your Kafka, with the overlay existing-kafka; the network policy lets pods out to 9093",
        r"^[\w.:,-]+$",
        "kafka-of-values:9093",
        ("existing-kafka",),
    ),
)


def chart() -> Mapping[str, str]:
    """The chart's files by name."""
    return {
        "Chart.yaml": yaml_text(
            {
                "apiVersion": "v2",
                "name": "tidecast",
                "description": "Recommends live streams while they happen, on KubeRay and Kafka",
                "type": "application",
                "version": VERSION,
                "appVersion": VERSION,
                "kubeVersion": ">=1.27.0-0",
            }
        ),
        "values.yaml": _values_file(),
        "values.schema.json": json.dumps(_schema(), indent=2) + "\n",
        **{f"templates/{overlay}.yaml": _template(overlay) for overlay in OVERLAYS},
    }


def default(value: Value) -> str:
    """A value's default: that of the first overlay in which it has an effect, from `prod` on."""
    overlay = DEFAULT_OVERLAY if DEFAULT_OVERLAY in value.overlays else value.overlays[0]
    found: Any = configured(overlay).settings
    for part in value.setting.split("."):
        found = getattr(found, part)
    return str(found)


def charted(here: Installation) -> list[Manifest]:
    """The manifests that a chart has: all but the namespace, which is the release's."""
    return [one for one in manifests(here) if one["kind"] != "Namespace"]


def _values_file() -> str:
    lines = [f"# which installation: {', '.join(OVERLAYS)}", f"overlay: {DEFAULT_OVERLAY}"]
    for value in VALUES:
        lines += [f"# {value.description}", f"{value.name}: {json.dumps(default(value))}"]
    return "\n".join(lines) + "\n"


def _schema() -> dict[str, Any]:
    overlay = {"type": "string", "enum": list(OVERLAYS), "description": "which installation"}
    rest = {one.name: {"type": "string", "pattern": one.pattern, "description": one.description} for one in VALUES}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "additionalProperties": False,
        "required": ["overlay", *rest],
        "properties": {"overlay": overlay, "global": {"type": "object"}, **rest},
    }


def _template(overlay: str) -> str:
    changes = [f"{value.setting}={value.mark}" for value in VALUES if overlay in value.overlays]
    here = configured(overlay, None, [f"kubernetes.namespace={RELEASE_NAMESPACE}", *changes])
    text = as_yaml(charted(here)).replace(OPEN, f'{OPEN} "{OPEN}" }}}}')  # of Prometheus and Grafana, not of Helm
    text = text.replace(f"{DIGEST}{here.digest}", DIGEST + "{{ .Values | toJson | sha256sum | trunc 16 | quote }}")
    for mark, place in _places():
        text = text.replace(mark, place)
    return f'{OPEN}- if eq .Values.overlay "{overlay}" }}}}\n{text}{OPEN} end }}}}\n'


def _places() -> Iterator[tuple[str, str]]:
    """Marks and places, the longer ones first: one mark ends as another does."""
    yield from sorted(((value.mark, value.place) for value in VALUES), key=lambda pair: -len(pair[0]))
    yield RELEASE_NAMESPACE, f"{OPEN} .Release.Namespace }}}}"
