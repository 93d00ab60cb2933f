"""The OpenAPI document, made from the types that requests are checked with. Never serves it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec

from streaming.events import MAX_ID_LENGTH
from streaming.operator_rule import MAX_NAME_LENGTH, NAME

PROBLEM_TYPE = "application/problem+json"
REFERENCE = "#/components/schemas/{name}"
DESCRIPTION = (
    "Recommends rooms that are live now. Errors are RFC 9457 problems. Metrics (`/metrics`) and the state of every "
    "process (`/v1/status`) are on a port of their own, http.admin_port."
)


REQUEST_ID = {
    "X-Request-Id": {
        "description": "the request's own X-Request-Id where it is valid, else one that nobody else has",
        "schema": {"type": "string"},
    }
}
PATH_SCHEMA = {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH}
# what each parameter of a path is, with an example
PATH_PARAMETERS = {
    "room": ("the id of a room that is live, percent-encoded", "room-1"),
    "viewer": ("the id of a viewer, percent-encoded", "viewer-1"),
    "name": ("the name of a rule", "finals"),
    "version": ("the name of a version of the models, percent-encoded", "m1796143850"),
}
PATH_SCHEMAS = {"name": {"type": "string", "pattern": NAME, "maxLength": MAX_NAME_LENGTH}}  # else PATH_SCHEMA


@dataclass(frozen=True, slots=True)
class Outcome:
    """A further status of a route. kind: of its body, of which a problem's type is told by the status."""

    status: HTTPStatus
    description: str
    kind: Any


@dataclass(frozen=True, slots=True)
class Header:
    """A header that a route reads. It may be left out."""

    name: str
    description: str
    schema: Mapping[str, Any]
    example: str


@dataclass(frozen=True, slots=True)
class TextBody:
    """A content type, beside JSON, in which a body may come."""

    content_type: str
    description: str
    example: str


@dataclass(frozen=True, slots=True)
class Operation:
    """The input and output of a route. id: its unique operationId. parameters: a struct with the query's fields.

    result: None for text, of the type `media` and the schema `text`. status: where all went well. errors: the statuses
    that a caller should be ready for. outcomes: further statuses with bodies of their own. encodings: in which the body
    may be compressed.
    """

    id: str
    summary: str
    result: Any
    body: Any = None
    parameters: type | None = None
    example: Any = None
    errors: tuple[HTTPStatus, ...] = ()
    description: str = ""
    outcomes: tuple[Outcome, ...] = ()
    headers: tuple[Header, ...] = ()
    other_bodies: tuple[TextBody, ...] = ()
    encodings: tuple[str, ...] = ()
    status: HTTPStatus = HTTPStatus.OK
    media: str = "text/plain"
    text: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


KEY = {"type": "http", "scheme": "bearer", "description": "a key of `tidecast keys create`"}


def document(
    operations: Sequence[tuple[str, str, Operation]], problem: type, scopes: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The OpenAPI 3.1 document of (method, path, operation) tuples. problem: the type of errors.

    scopes: what a caller's key must be allowed, by operationId; None where no keys are needed.
    """
    kinds = [problem]
    for _, _, operation in operations:
        several = (operation.body, operation.parameters, operation.result, *(one.kind for one in operation.outcomes))
        kinds += [kind for kind in several if kind is not None]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    schema_of = {str(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for method, path, operation in operations:
        paths.setdefault(path, {})[method.lower()] = _operation(path, operation, schema_of, components, str(problem))
    secured: dict[str, Any] = {}
    if scopes is not None:
        secured = {"securitySchemes": {"key": KEY}}
        for methods in paths.values():
            for described in methods.values():
                _secure(described, scopes.get(described["operationId"]), str(problem), schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tidecast", "version": "1", "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": components, **secured},
    }


def _secure(described: dict[str, Any], scope: str | None, problem: str, schema_of: Mapping[str, Any]) -> None:
    """Adds to an operation that it needs a key, and what it answers without one."""
    if scope is None:
        return
    described["security"] = [{"key": []}]
    described["description"] = f"Needs a key with the scope `{scope}`."
    wrong = {"application/problem+json": {"schema": schema_of[problem]}}
    for status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS):
        described["responses"].setdefault(str(status.value), {"description": status.phrase, "content": wrong})


def _operation(
    path: str, operation: Operation, schema_of: dict[str, Any], components: dict[str, Any], problem: str
) -> dict[str, Any]:
    wrong = {PROBLEM_TYPE: {"schema": schema_of[problem]}}
    if operation.result is None:
        right: dict[str, Any] = {operation.media: {"schema": operation.text}}
    else:
        right = {"application/json": {"schema": schema_of[str(operation.result)]}}
    of_right = {"description": operation.summary, "headers": REQUEST_ID, "content": right}
    responses: dict[str, Any] = {str(operation.status.value): of_right}
    for status in sorted(operation.errors):
        responses[str(status.value)] = {"description": status.phrase, "content": wrong}
    for outcome in operation.outcomes:
        media = PROBLEM_TYPE if outcome.status >= HTTPStatus.BAD_REQUEST else "application/json"
        content = {media: {"schema": schema_of[str(outcome.kind)]}}
        responses[str(outcome.status.value)] = {"description": outcome.description, "content": content}
    responses["default"] = {"description": "what is wrong, where, and what is allowed", "content": wrong}
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": responses,
    }
    if operation.description:
        described["description"] = operation.description
    parameters: list[dict[str, Any]] = []
    for name in re.findall(r"{(\w+)}", path):
        said, example = PATH_PARAMETERS[name]
        described_as = {"description": said, "schema": PATH_SCHEMAS.get(name, PATH_SCHEMA), "example": example}
        parameters.append({"name": name, "in": "path", "required": True, **described_as})
    if operation.parameters is not None:
        described_by = components[operation.parameters.__name__]
        needed = described_by.get("required", ())
        parameters += [_parameter(name, of, name in needed) for name, of in described_by["properties"].items()]
    for header in operation.headers:
        said_of = {"description": header.description, "schema": header.schema, "example": header.example}
        parameters.append({"name": header.name, "in": "header", "required": False, **said_of})
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = _body(operation, schema_of[str(operation.body)])
    return described


def _body(operation: Operation, schema: dict[str, Any]) -> dict[str, Any]:
    """The body in each of its content types. Others than JSON have no schema that a program could check them with."""
    of_json: dict[str, Any] = {"schema": schema}
    if operation.example is not None:
        of_json["example"] = operation.example
    content = {"application/json": of_json}
    for other in operation.other_bodies:
        text = {"type": "string", "description": other.description}
        content[other.content_type] = {"schema": text, "example": other.example}
    return {"required": True, "content": content}


def _parameter(name: str, field: Mapping[str, Any], required: bool) -> dict[str, Any]:
    """A field as a query parameter, without null: such a parameter is left out instead."""
    schema = dict(field)
    options = [option for option in schema.pop("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        schema |= options[0]
    elif options:
        schema["anyOf"] = options
    if schema.get("default", ...) is None:
        del schema["default"]
    described: dict[str, Any] = {"name": name, "in": "query", "required": required}
    if "description" in schema:
        described["description"] = schema.pop("description")
    if examples := schema.pop("examples", None):
        described["example"] = examples[0]
    return {**described, "schema": schema}
