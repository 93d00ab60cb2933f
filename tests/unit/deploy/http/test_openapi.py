"""What describes the API to programs and to people: the OpenAPI document and its page."""

from __future__ import annotations

import json
import re

import pytest

from actors.requests.filters import Filters
from deploy.http import docs
from deploy.http.problem import CONTENT_TYPE
from tests.unit.deploy.http.called_api import Caller


@pytest.fixture
def call() -> Caller:
    return Caller()


def test_the_openapi_document_knows_every_route_and_resolves(call: Caller) -> None:
    document = call("GET", "/openapi.json").json
    assert set(document["paths"]) == {
        *("/v1/recommend", "/v1/rooms", "/v1/rooms/{room}", "/v1/rooms/{room}/similar"),
        *("/v1/recommend:batch", "/v1/trending", "/v1/search", "/v1/viewers/{viewer}", "/v1/rank"),
        *("/v1/stream/{viewer}", "/v1/map", "/v1/viewers"),
        *("/v1/models", "/v1/models/rollback", "/v1/models/{version}/promote"),
        *("/v1/chat", "/v1/viewer-events"),
        *("/healthz", "/readyz"),
    }
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(document["components"]["schemas"])
    assert {"Query", "Answer", "Problem"} <= names


def test_every_operation_has_an_id_and_says_which_errors_to_expect(call: Caller) -> None:
    operations = [o for methods in call("GET", "/openapi.json").json["paths"].values() for o in methods.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids) == 20
    recommend = next(o for o in operations if o["operationId"] == "recommend")
    assert {"200", "400", "408", "413", "415", "429", "503", "default"} == set(recommend["responses"])
    assert recommend["requestBody"]["content"]["application/json"]["example"]["viewer"]
    for operation in operations:
        for status, response in operation["responses"].items():
            media = "text/event-stream" if operation["operationId"] == "streamList" else "application/json"
            kind = media if status.startswith("2") else CONTENT_TYPE
            assert set(response["content"]) == {kind}


@pytest.mark.parametrize("path", ["/v1/rooms", "/v1/rooms/{room}/similar", "/v1/trending"])
def test_every_filter_is_described_with_its_type_and_an_example(call: Caller, path: str) -> None:
    document = call("GET", "/openapi.json").json
    told = document["paths"][path]["get"]["parameters"]
    parameters = {p["name"]: p for p in told if p["in"] == "query"}
    mature = parameters["mature"]["schema"]["anyOf"]
    assert sorted(json.dumps(one) for one in mature) == ['{"enum": ["any"]}', '{"type": "boolean"}']
    assert parameters.pop("tags_match")["schema"]["enum"] == ["all", "any"]
    assert {name: p["schema"]["type"] for name, p in parameters.items() if name != "mature"} == {
        **dict.fromkeys(("language", "category", "tags", "exclude_streamers"), "string"),
        **dict.fromkeys(("limit", "min_audience", "max_audience", "min_age_s", "max_age_s"), "integer"),
        "max_receipt_age_ms": "integer",
    }
    assert all(p["description"] and "example" in p and p["required"] is False for p in parameters.values())
    assert "null" not in json.dumps(parameters)
    filters = document["components"]["schemas"]["Filters"]["properties"]
    assert set(filters) == set(Filters.__struct_fields__)
    assert all('"description": ' in json.dumps(schema) for schema in filters.values())


def test_the_documentation_page_fetches_nothing_from_elsewhere(call: Caller) -> None:
    page = call("GET", "/docs").body.decode()
    assert re.findall(r'(?:src|href)="([^"]+)"', page) == [
        "data:,",
        "docs/swagger-ui.css",
        "openapi.json",
        "docs/swagger-ui-bundle.js",
    ]
    assert "http://" not in page
    assert "https://" not in page
    assert 'id="problems"' in page  # where the type of every problem points


@pytest.mark.parametrize(("name", "kind"), docs.ASSETS.items())
def test_swagger_ui_is_served_from_here_and_kept_by_the_browser(call: Caller, name: str, kind: str) -> None:
    got = call("GET", f"/docs/{name}")
    assert (got.status, got.headers["content-type"]) == (200, kind)
    assert [value for key, value in got.headers.items() if key == "cache-control"] == ["max-age=86400"]
    assert len(got.body) > 100_000
    assert call("GET", "/openapi.json").headers["cache-control"] == "no-store"


def test_missing_files_of_swagger_ui_are_an_error_that_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs, "PACKAGE", "no_such_package_at_all")
    with pytest.raises(FileNotFoundError, match="no_such_package_at_all"):
        docs.asset("swagger-ui.css")
