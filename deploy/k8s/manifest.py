"""A Kubernetes manifest as a value: its metadata, its address and its YAML. Never says what is in one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

Manifest = dict[str, Any]  # as the API has it: an open tree of JSON, judged by its schema

WIDTH = 118


def manifest(api_version: str, kind: str, metadata: Mapping[str, Any], **fields: Any) -> Manifest:
    """A manifest of these fields, without those that are None."""
    given = {name: value for name, value in fields.items() if value is not None}
    return {"apiVersion": api_version, "kind": kind, "metadata": dict(metadata), **given}


def address(one: Manifest) -> str:
    """The kind and name of a manifest, by which no two of an installation are alike."""
    return f"{one['kind']}/{one['metadata']['name']}"


def file_name(one: Manifest) -> str:
    """The name of the file of a manifest."""
    return f"{one['kind'].lower()}-{one['metadata']['name']}.yaml"


def as_yaml(manifests: Iterable[Manifest], comment: str = "") -> str:
    """The manifests as one YAML text."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    return head + "---\n".join(yaml_text(one) for one in manifests)


def yaml_text(value: Mapping[str, Any]) -> str:
    """A tree of JSON as YAML."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=WIDTH, allow_unicode=True))


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes texts of several lines as blocks, and every value in full: no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
