"""What describes the API to programs and to people: the OpenAPI document and its page."""

from __future__ import annotations

import json

import pytest

from deploy.problem import CONTENT_TYPE
from tests.unit.deploy.called_api import Caller


@pytest.fixture
def call() -> Caller:
    return Caller()


def test_the_openapi_document_knows_every_route_and_resolves(call: Caller) -> None:
    document = call("GET", "/openapi.json").json
    assert set(document["paths"]) == {
        *("/v1/recommend", "/v1/rooms", "/v1/rooms/{room}", "/v1/rooms/{room}/similar"),
        *("/healthz", "/readyz"),
    }
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(document["components"]["schemas"])
    assert {"Query", "Answer", "Problem"} <= names


def test_every_operation_has_an_id_and_says_which_errors_to_expect(call: Caller) -> None:
    operations = [o for methods in call("GET", "/openapi.json").json["paths"].values() for o in methods.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids) == 6
    recommend = next(o for o in operations if o["operationId"] == "recommend")
    assert {"200", "400", "408", "413", "415", "429", "503", "default"} == set(recommend["responses"])
    assert recommend["requestBody"]["content"]["application/json"]["example"]["viewer"]
    for operation in operations:
        for status, response in operation["responses"].items():
            kind = "application/json" if status == "200" else CONTENT_TYPE
            assert set(response["content"]) == {kind}


@pytest.mark.parametrize("path", ["/v1/rooms", "/v1/rooms/{room}/similar"])
def test_every_filter_is_described_with_its_type_and_an_example(call: Caller, path: str) -> None:
    document = call("GET", "/openapi.json").json
    told = document["paths"][path]["get"]["parameters"]
    parameters = {p["name"]: p for p in told if p["in"] == "query"}
    mature = parameters["mature"]["schema"]["anyOf"]
    assert sorted(json.dumps(one) for one in mature) == ['{"enum": ["any"]}', '{"type": "boolean"}']
    assert {name: p["schema"]["type"] for name, p in parameters.items() if name != "mature"} == {
        "limit": "integer",
        "language": "string",
        "category": "string",
    }
    assert all(p["description"] and "example" in p and p["required"] is False for p in parameters.values())
    assert "null" not in json.dumps(parameters)
    filters = document["components"]["schemas"]["Filters"]["properties"]
    assert set(filters) == {"language", "category", "mature"}
    assert all('"description": ' in json.dumps(schema) for schema in filters.values())


def test_the_documentation_page_fetches_nothing(call: Caller) -> None:
    page = call("GET", "/docs").body.decode()
    assert "/v1/recommend" in page
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page
