"""Owns the documentation page: the OpenAPI document as HTML that needs no network. Never describes anything itself."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
h2{margin-top:2rem;font-size:1.1rem}code,pre{font:13px/1.45 ui-monospace,monospace}
pre{background:#f4f6f8;padding:.75rem;overflow:auto;border-radius:6px}
table{border-collapse:collapse}td,th{border-bottom:1px solid #d8dee4;padding:.25rem .75rem .25rem 0;text-align:left}
b.m{color:#0a5;margin-right:.5rem}summary{cursor:pointer}
"""
EXAMPLE = """curl -s localhost:8000/v1/recommend -H 'content-type: application/json' \\
  -d '{"viewer": "viewer-1", "limit": 5, "explain": true}'"""
PROBLEMS = "Every error is an RFC 9457 problem: <code>status</code>, <code>detail</code> and, for a bad request, the "
PROBLEMS += "<code>field</code> and what is <code>allowed</code> there."


def docs_page(document: Mapping[str, Any]) -> str:
    """One page, whole: no script, no font, nothing fetched."""
    parts = [_operation(m, p, o) for p, methods in document["paths"].items() for m, o in methods.items()]
    schemas = document["components"]["schemas"]
    parts += ["<h2>Types</h2>", *(_schema(name, schema) for name, schema in schemas.items())]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Tidecast API</title><style>{STYLE}</style>"
        f"<h1>Tidecast API</h1><p>{html.escape(document['info']['description'])} For tools: "
        f"<a href=/openapi.json>/openapi.json</a>.</p><pre>{html.escape(EXAMPLE)}</pre>{''.join(parts)}"
        f"<h2 id=problems>Problems</h2><p>{PROBLEMS}</p></html>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    rows = "".join(_row(p["name"], p["in"], {**p["schema"], **_said(p)}) for p in operation.get("parameters", ()))
    text = f"<h2><b class=m>{method.upper()}</b><code>{html.escape(path)}</code></h2><p>{operation['summary']}.</p>"
    if "requestBody" in operation:
        text += f"<p>Body: {_content(operation['requestBody'])}</p>"
    if rows:
        text += f"<table>{rows}</table>"
    return text + f"<p>Answer: {_content(operation['responses']['200'])}</p>"


def _said(parameter: Mapping[str, Any]) -> Mapping[str, Any]:
    example = f"; for example {json.dumps(parameter['example'])}" if "example" in parameter else ""
    return {"description": parameter.get("description", "") + example}


def _content(holder: Mapping[str, Any]) -> str:
    return ", ".join(f"<code>{kind}</code> {_kind(c['schema'])}" for kind, c in holder["content"].items())


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = "".join(_row(f, "required" if f in required else "", s) for f, s in schema.get("properties", {}).items())
    about = html.escape(schema.get("description", ""))
    return f"<details id=t-{name} open><summary><code>{name}</code> {about}</summary><table>{rows}</table></details>"


def _row(name: str, where: str, schema: Mapping[str, Any]) -> str:
    about = html.escape(str(schema.get("description", "")))
    return f"<tr><td><code>{html.escape(name)}</code><td>{where}<td>{_kind(schema)}<td>{about}"


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"<a href=#t-{name}>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if schema.get("type") == "array" and "items" in schema:
        return f"list of {_kind(schema['items'])}"
    limits = {k: v for k, v in schema.items() if k.startswith(("min", "max")) or k in ("enum", "default")}
    return html.escape(f"{schema.get('type', 'any')} {json.dumps(limits)[1:-1] if limits else ''}".strip())
