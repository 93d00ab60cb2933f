"""The overlays: all manifests of an installation, and the folders for `kubectl apply -k`. Never talks to a cluster.

An overlay is a folder with a `tidecast.toml`, its source; the rest of the folder is made of it. What all overlays have
in common is in `base`, so that a difference between two of them is a difference between their files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.config.key import ENV_PREFIX, ENV_SEPARATOR
from deploy.config.settings import known_keys, load
from deploy.k8s.accounts import accounts, budgets, claims, namespace, service, settings
from deploy.k8s.console import console
from deploy.k8s.dashboard import dashboard
from deploy.k8s.gcs_store import gcs_store
from deploy.k8s.installation import CONFIG_FILE, Installation, installation
from deploy.k8s.kafka_access import kafka_users
from deploy.k8s.kafka_cluster import kafka_cluster, kafka_topics
from deploy.k8s.manifest import Manifest, as_yaml, yaml_text
from deploy.k8s.monitoring import monitors, rules
from deploy.k8s.network import network_policies
from deploy.k8s.ray_service import ray_service
from deploy.k8s.training_job import rollback_job, training_job
from streaming.errors import ConfigError

FOLDER = Path(__file__).parent
OVERLAYS = ("dev", "prod", "prod-gpu", "existing-kafka")
MADE = "Made by `tidecast k8s write` of the overlays' tidecast.toml; a change here is lost at the next."
KUSTOMIZE = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
FIELDS = "kustomizeconfig.yaml"
PODS = {
    "RayService": (
        "spec/rayClusterConfig/headGroupSpec/template/spec",
        "spec/rayClusterConfig/workerGroupSpecs[]/template/spec",
    ),
    "RayCronJob": ("spec/jobTemplate/rayClusterSpec/headGroupSpec/template/spec",),
}
AUTOSCALER_IMAGE = "spec/rayClusterConfig/autoscalerOptions/image"

Files = Mapping[str, Sequence[Manifest]]


def source(overlay: str) -> Path:
    """The file that an overlay is made of. Raises ConfigError: there is no such overlay."""
    if overlay not in OVERLAYS:
        raise ConfigError(f"no overlay {overlay!r}; there are {', '.join(OVERLAYS)}")
    return FOLDER / "overlays" / overlay / CONFIG_FILE


def configured(overlay: str, config: Path | None = None, changes: Iterable[str] = ()) -> Installation:
    """The installation of an overlay, with a file over it, and then changes as section.key=value.

    Raises ConfigError: an unknown overlay or key, a value that cannot be, or settings of one machine.
    """
    return installation(load(config, dict(map(_change, changes)), beneath=source(overlay)).settings)


def files(here: Installation) -> Files:
    """All manifests of an installation, by the name of their file, in the order in which to apply them."""
    config = here.config
    made: dict[str, list[Manifest]] = {
        "namespace": [namespace(here)],
        "accounts": list(accounts(here)),
        "network": list(network_policies(here)),
        "settings": [settings(here)],
        "volumes": list(claims(here)),
        "gcs": list(gcs_store(here)),
    }
    if config.kafka == "strimzi":
        made["kafka"] = list(kafka_cluster(here))
        made["kafka-topics"] = list(kafka_topics(here))
        made["kafka-users"] = list(kafka_users(here))
    made["rayservice"] = [ray_service(here)]
    made["service"] = [service(here)]
    made["budgets"] = list(budgets(here))
    if config.console:
        made["console"] = list(console(here))
    if config.train_schedule:
        made["training"] = [training_job(here), rollback_job(here)]
    if config.monitoring:
        made["monitoring"] = [*monitors(here), rules(here), dashboard(here)]
    return {name: manifests for name, manifests in made.items() if manifests}


def manifests(here: Installation) -> list[Manifest]:
    """All manifests of an installation, in the order in which to apply them."""
    return [one for some in files(here).values() for one in some]


def user_secrets(here: Installation) -> Mapping[str, str]:
    """The Secrets that the user makes, and what is in each. Strimzi and KubeRay make the others."""
    wanted = {here.named("gcs"): "password: of the Valkey in which Ray's head keeps what it knows"}
    if here.settings.http.keys_file:
        wanted[here.named("keys")] = "keys.toml: the API keys that `tidecast keys create NAME --file keys.toml` writes"
    if here.settings.http.keys_file and here.config.console:
        wanted[here.named("console")] = "token: an API key with which the console asks; it shows nothing without one"
    if not here.config.store_volume:
        wanted[here.named("store")] = "AWS_ACCESS_KEY_ID and so on, as environment; not needed with workload identity"
    if here.config.pull_secret:
        wanted[here.config.pull_secret] = "of type kubernetes.io/dockerconfigjson: for the registry of the images"
    if here.config.kafka == "existing":
        wanted[here.named("kafka")] = "password: of the user of Kafka, and ca.crt: the authority of its certificates"
    return wanted


def committed() -> Mapping[str, str]:
    """The files of base and overlays, as they should be, by their path below this folder."""
    by_overlay = {overlay: files(configured(overlay)) for overlay in OVERLAYS}
    common = _common(list(by_overlay.values()))
    found = dict(_folder("base", common, None))
    for overlay, made in by_overlay.items():
        rest = {name: [one for one in some if one not in common.get(name, ())] for name, some in made.items()}
        found |= _folder(f"overlays/{overlay}", {name: some for name, some in rest.items() if some}, "../../base")
    return found


def of_installation(here: Installation) -> Mapping[str, str]:
    """The files of one installation's own folder for `kubectl apply -k`, by name, with the settings it was made of."""
    made = {path.partition("/")[2]: text for path, text in _folder("own", files(here), None)}
    return {**made, FIELDS: _fields(), "kustomization.yaml": _kustomization(files(here), None)}


def write(texts: Mapping[str, str], folder: Path) -> list[Path]:
    """Writes the files that are not so yet, and returns them. Leaves other files alone."""
    changed = []
    for name, text in texts.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def _common(overlays: Sequence[Files]) -> Files:
    """The manifests that all overlays have."""
    first, *others = overlays
    kept = {
        name: [one for one in some if all(one in other.get(name, ()) for other in others)]
        for name, some in first.items()
    }
    return {name: some for name, some in kept.items() if some}


def _folder(place: str, made: Files, base: str | None) -> Iterator[tuple[str, str]]:
    for name, some in made.items():
        yield f"{place}/{name}.yaml", as_yaml(some, MADE)
    yield f"{place}/kustomization.yaml", _kustomization(made, base)
    if base is not None:
        yield f"{place}/{FIELDS}", _fields()


def _kustomization(made: Files, base: str | None) -> str:
    resources = [*([base] if base else []), *(f"{name}.yaml" for name in made)]
    fields = {} if base is None and "rayservice" not in made else {"configurations": [FIELDS]}
    return f"# {MADE}\n" + yaml_text({**KUSTOMIZE, "resources": resources, **fields})


def _fields() -> str:
    """Where Ray's kinds have images: without this, `images:` of a kustomization changes none of them."""
    specs: list[dict[str, Any]] = [{"path": AUTOSCALER_IMAGE, "kind": "RayService"}]
    for kind, places in PODS.items():
        for place in places:
            specs += [{"path": f"{place}/{name}[]/image", "kind": kind} for name in ("containers", "initContainers")]
    return f"# {MADE}\n" + yaml_text({"images": specs})


def _change(text: str) -> tuple[str, str]:
    """`section.key=value` as the environment variable that says the same. Raises ConfigError."""
    name, is_there, value = text.partition("=")
    if not is_there or not re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", name):
        raise ConfigError(f"--set {text!r}: give section.key=value, such as kubernetes.namespace=live")
    variables = {key.name: key.variable for key in known_keys()}
    return variables.get(name, ENV_PREFIX + name.upper().replace(".", ENV_SEPARATOR)), value
