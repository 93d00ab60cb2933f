"""Owns the OpenAPI document, made from the same types that requests are checked with. Never serves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

REFERENCE = "#/components/schemas/{name}"


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route takes and gives. `result` None: plain text; `parameters`: a struct whose fields are the query's."""

    summary: str
    result: Any
    body: type | None = None
    parameters: type | None = None


def document(operations: Sequence[tuple[str, str, Operation]], problem: type) -> dict[str, Any]:
    """OpenAPI 3.1 of (method, path, operation)s; errors are `problem`s."""
    kinds = [problem]
    for _, _, operation in operations:
        kinds += [kind for kind in (operation.body, operation.parameters, operation.result) if kind is not None]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    schema_of = {str(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for method, path, operation in operations:
        paths.setdefault(path, {})[method.lower()] = _operation(path, operation, schema_of, components, str(problem))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tidecast",
            "version": "1",
            "description": "Recommends rooms that are live now. Errors are RFC 9457 problems.",
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(
    path: str, operation: Operation, schema_of: dict[str, Any], components: dict[str, Any], problem: str
) -> dict[str, Any]:
    wrong = {"application/problem+json": {"schema": schema_of[problem]}}
    if operation.result is None:
        right: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
    else:
        right = {"application/json": {"schema": schema_of[str(operation.result)]}}
    described: dict[str, Any] = {
        "summary": operation.summary,
        "responses": {
            "200": {"description": operation.summary, "content": right},
            "default": {"description": "what is wrong, where, and what is allowed", "content": wrong},
        },
    }
    parameters = []
    if "{room}" in path:
        parameters.append({"name": "room", "in": "path", "required": True, "schema": {"type": "string"}})
    if operation.parameters is not None:
        fields = components[operation.parameters.__name__]["properties"]
        parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in fields.items()]
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        body = {"application/json": {"schema": schema_of[str(operation.body)]}}
        described["requestBody"] = {"required": True, "content": body}
    return described
