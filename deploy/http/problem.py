"""The RFC 9457 problems that HTTP callers get for errors, with the field and its allowed values.

Never decides that a request is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from streaming.errors import RequestError

T = TypeVar("T")

CONTENT_TYPE = "application/problem+json"
PATH = re.compile(r" - at `(?:key in )?\$([^`]*)`$")
NAMED = re.compile(r"(?:unknown|required) field `([^`]*)`")


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9457. `field`: the JSON path of what is wrong, without the leading "$."; `allowed`: what may stand there."""

    type: str
    title: str
    status: int
    detail: str
    field: str | UnsetType = UNSET
    allowed: str | UnsetType = UNSET


def problem(status: HTTPStatus, detail: str, *, field: str | None = None, allowed: str | None = None) -> Problem:
    """The problem of an HTTP status. Its type names the paragraph of the documentation page."""
    return Problem(
        type="/docs#problems",
        title=status.phrase,
        status=status.value,
        detail=detail,
        field=UNSET if field is None else field,
        allowed=UNSET if allowed is None else allowed,
    )


class RefusedError(Exception):
    """Raised for a request that does not reach a route's handler. headers: of the answer, beside the common ones."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        field: str | None = None,
        allowed: str | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(detail)
        self.problem = problem(status, detail, field=field, allowed=allowed)
        self.headers = tuple(headers)


class Reader:
    """A reader of one type of request, from JSON or a query string, that explains errors in the caller's terms."""

    def __init__(self, kind: type[T], *, root: str) -> None:
        """root: what is allowed as a whole, for a body that is no object."""
        self._decoder = msgspec.json.Decoder(kind)
        self._kind = kind
        self._root = root
        self._schema = msgspec.json.schema(kind)

    def json(self, body: bytes) -> Any:
        """The request in a body. Raises RequestError."""
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError as err:
            return self._read_again(body, err)
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            raise RequestError(f"the body is not JSON: {err}", field="", allowed=self._root) from err
        except RecursionError as err:
            raise RequestError("the body is nested too deeply", field="", allowed=self._root) from err

    def parameters(self, values: Mapping[str, str]) -> Any:
        """The request in a query string's parameters. Raises RequestError."""
        try:
            found = msgspec.convert(dict(values), self._kind, strict=False)
        except msgspec.ValidationError as err:
            raise self._explain(err) from err
        for name, value in values.items():  # msgspec takes the text "null" for None; a parameter is left out instead
            if getattr(found, name) is None:
                raise RequestError(f"{value!r} is no value", field=name, allowed=self._allowed(name))
        return found

    def _read_again(self, body: bytes, refused: msgspec.ValidationError) -> Any:
        """Reads a body that the decoder has refused: 20.0 is an integer in JSON Schema, and some languages write it."""
        try:
            return self._decoder.decode(msgspec.json.encode(_with_whole_numbers(msgspec.json.decode(body))))
        except msgspec.ValidationError as err:
            raise self._explain(err) from err
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:  # behind what was refused first
            raise self._explain(refused) from err

    def _explain(self, err: msgspec.ValidationError) -> RequestError:
        message = str(err)
        found = PATH.search(message)
        path = found.group(1).lstrip(".") if found else ""
        message = PATH.sub("", message)
        named = NAMED.search(message)
        field = ".".join(filter(None, (path, named.group(1) if named else "")))
        place = path if named and "unknown" in message else field
        return RequestError(message, field=field, allowed=self._allowed(place))

    def _allowed(self, path: str) -> str:
        node = found = self._resolve(self._schema)
        for step in re.findall(r"\[[^\]]*\]|[^.\[\]]+", path):
            within = node.get("items") if step.startswith("[") else node.get("properties", {}).get(step)
            if within is None:
                return self._root
            node, found = self._resolve(within), within
        options = [self._resolve(option) for option in found.get("anyOf", [node]) if option.get("type") != "null"]
        return " or ".join(map(describe, options))

    def _resolve(self, node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node or "anyOf" in node:
            if "anyOf" in node:
                node = next(option for option in node["anyOf"] if option.get("type") != "null")
            else:
                node = self._schema["$defs"][node["$ref"].rpartition("/")[2]]
        return node


def _with_whole_numbers(value: Any) -> Any:
    """JSON data with 20 for 20.0."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, list):
        return [_with_whole_numbers(one) for one in value]
    if isinstance(value, dict):
        return {name: _with_whole_numbers(one) for name, one in value.items()}
    return value


def describe(node: Mapping[str, Any]) -> str:
    """The values that a piece of JSON Schema allows, in words."""
    if "enum" in node:
        several = "one of " if len(node["enum"]) > 1 else ""
        return several + ", ".join(map(str, node["enum"]))
    if "properties" in node:
        return "an object with " + ", ".join(node["properties"])
    words = {"integer": "an integer", "number": "a number", "boolean": "true or false", "array": "a list"}
    text = words.get(node.get("type", ""), "a text")
    if "minimum" in node or "maximum" in node:
        text += f" from {node.get('minimum', 'any')} to {node.get('maximum', 'any')}"
    if "minLength" in node or "maxLength" in node:
        text += f" of {node.get('minLength', 0)} to {node.get('maxLength', 'any number of')} characters"
    if "maxItems" in node:
        text += f" of at most {node['maxItems']}"
    return text
