"""The client has what the OpenAPI document has: a method for each operation, and nothing of another release."""

from __future__ import annotations

import inspect
import re
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

import deploy.http.routes
import tidecast_client
from deploy.docs.client_code import EVENTS, LINES, method_name, modules
from deploy.ray.haproxy import READING
from tests.client_modules import FOLDER, document, made
from tidecast_client import AsyncClient, Client

ROUTES = Path(deploy.http.routes.__file__).parent
DOCUMENT = document()
OPERATIONS = {
    f"{verb} {path}": described
    for path, methods in DOCUMENT["paths"].items()
    for verb, described in methods.items()
    if described["operationId"] != "streamList"  # an answer without end, for an EventSource or any client of events
}
SPECIAL = {"writes": {"records", "idempotency_key"}}


def parameters_of(described: dict[str, Any]) -> set[str]:
    """What a method has to take, by the document."""
    content = described.get("requestBody", {}).get("content", {})
    if LINES in content:
        return SPECIAL["writes"]
    found = {one["name"] for one in described.get("parameters", ()) if one["in"] != "header"}
    if content:
        name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
        found |= set(DOCUMENT["components"]["schemas"][name]["properties"])
    return found


@pytest.mark.parametrize("kind", [Client, AsyncClient], ids=["sync", "async"])
@pytest.mark.parametrize("operation", list(OPERATIONS))
def test_every_operation_has_a_method_with_its_parameters_and_a_typed_answer(operation: str, kind: type) -> None:
    described = OPERATIONS[operation]
    method = getattr(kind, method_name(described["operationId"]))
    pushes = any(EVENTS in answer["content"] for answer in described["responses"].values())
    assert inspect.iscoroutinefunction(method) == (kind is AsyncClient and not pushes)
    assert set(inspect.signature(method).parameters) - {"self"} == parameters_of(described)
    hints = typing.get_type_hints(method, vars(tidecast_client) | vars(inspect.getmodule(method)))
    answer = hints["return"]
    assert answer is not Any
    if not pushes:
        assert msgspec.json.schema(answer)  # what msgspec can check


def test_the_made_modules_are_those_of_the_document() -> None:
    for name, text in made().items():
        assert (FOLDER / name).read_text() == text, f"{name} is of another document: run `make client`"


def test_every_path_that_a_route_names_is_in_the_document_that_the_client_is_made_from() -> None:
    named = {
        path for file in ROUTES.glob("*.py") for path in re.findall(r'^\s+"(/v1/[^"]+)",$', file.read_text(), re.M)
    }
    assert len(named) >= 8
    missing = named - set(DOCUMENT["paths"])
    assert not missing, f"document() of {document.__module__} lacks them"


def test_a_further_route_makes_another_module() -> None:
    """So it fails the comparison above until the client has it."""
    before = modules(DOCUMENT, READING)
    described = {
        "operationId": "getWeather",
        "summary": "The weather",
        "responses": OPERATIONS["get /healthz"]["responses"],
    }
    further = {**DOCUMENT, "paths": {**DOCUMENT["paths"], "/v1/weather/{place}": {"get": described}}}
    after = modules(further, READING)
    assert after["types.py"] == before["types.py"]
    for name in ("methods.py", "async_methods.py"):
        assert after[name] != before[name]
        assert "def weather(self, place: str) -> dict[str, str]:" in after[name]


def test_what_is_sent_has_the_fields_of_the_document() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        kind = getattr(tidecast_client, name, None)
        if kind is None:
            assert name in ("ListQuery", "StreamQuery", "SearchQuery", "MapQuery", "ViewersQuery")  # parameters
            continue
        info = msgspec.inspect.type_info(kind)
        assert isinstance(info, msgspec.inspect.StructType)
        fields = {field.encode_name for field in info.fields} | ({"type"} if info.tag_field else set())
        assert fields == set(schema["properties"])
        required = {field.encode_name for field in info.fields if field.required}
        assert required | ({"type"} if info.tag_field else set()) == set(schema["required"])
