"""The modules of tidecast_client that are made from the OpenAPI document. Never writes a file.

`make client` writes them; a test makes them again and compares, so a route without a method fails it.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.docs.client_types import Schemas

LINES = "application/x-ndjson"  # a body of records, which the client packs
EVENTS = "text/event-stream"
NOT_ERRORS = {"readiness": (503,)}  # an answer with which nothing is wrong: not ready
HEAD = '"""{first} {second}\n\nMade from the OpenAPI document by `make client`; changes are lost.\n"""\n'
WIDTH = 105  # of a docstring of a method
IDEMPOTENT = ("GET", "PUT", "DELETE")  # RFC 9110, section 9.2.2


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A parameter of a method. place: path, query, or body."""

    name: str
    annotation: str
    default: str | None
    place: str

    @property
    def declared(self) -> str:
        return f"{self.name}: {self.annotation}" + (f" = {self.default}" if self.default is not None else "")


class _Operation:
    """One operation of the document as a method."""

    def __init__(self, path: str, verb: str, described: Mapping[str, Any], schemas: Schemas, reading: bool) -> None:
        self.id: str = described["operationId"]
        self.summary: str = described["summary"]
        self.name = method_name(self.id)
        self.verb, self.path = verb.upper(), path
        self.repeatable = self.verb in IDEMPOTENT or reading
        content = described.get("requestBody", {}).get("content", {})
        right = next(answer for status, answer in described["responses"].items() if status.startswith("2"))["content"]
        self.writes = LINES in content
        self.streams = EVENTS in right
        body = content.get("application/json", {}).get("schema", {})
        self.body: str = "" if self.writes else body.get("$ref", "").rpartition("/")[2]
        found = [_Parameter(name, "str", None, "path") for name in re.findall(r"{(\w+)}", path)]
        found += [_query_parameter(one, schemas) for one in described.get("parameters", ()) if one["in"] == "query"]
        if self.body:
            taken = {one.name for one in found}
            fields = schemas.fields(self.body)
            found += [_Parameter(f.name, f.annotation, f.default, "body") for f in fields if f.name not in taken]
        self.parameters = sorted(found, key=lambda one: (one.place != "path", one.default is not None))
        self.record = schemas.annotation(_records_of(body)) if self.writes else ""
        schema = right.get("application/json", {}).get("schema")
        self.result = "Event" if self.streams else "str" if schema is None else schemas.annotation(schema)
        self.pages = bool(self.body) and all("cursor" in schemas.names(kind) for kind in (self.body, self.result))

    def method(self, asynchronous: bool) -> Iterator[str]:
        """The lines of the method."""
        define, wait = ("async def", "await ") if asynchronous else ("def", "")
        if self.streams:
            kind = "AsyncIterator" if asynchronous else "Iterator"
            yield f"    def {self.name}(self{self._declared()}) -> {kind}[Event]:"
            yield from _docstring(f"{self.summary}. Goes on over a new connection where one ends, without an end.")
            yield f"        return self.events({self._call()})"
            return
        if self.writes:
            records = f"Iterable[{self.record}]"
            yield f'    {define} {self.name}(self, records: {records}, *, idempotency_key: str = "") -> {self.result}:'
            yield from _docstring(
                f"{self.summary}. Any number of them: a verdict on each, once Kafka has those accepted."
            )
            yield f'        return {wait}self.write("{self.path}", records, idempotency_key)'
            return
        yield f"    {define} {self.name}(self{self._declared()}) -> {self.result}:"
        yield from _docstring(f"{self.summary}.")
        yield f"        return {wait}self.ask({self._call()})"

    def pages_method(self, asynchronous: bool) -> Iterator[str]:
        """The lines of the method that goes through all pages."""
        define, wait = ("async def", "await ") if asynchronous else ("def", "")
        kind = "AsyncIterator" if asynchronous else "Iterator"
        given = [one for one in self.parameters if one.name != "cursor"]
        passed = ", ".join(f"{one.name}={one.name}" for one in given)
        yield f"    {define} {self.name}_pages(self{self._declared(without='cursor')}) -> {kind}[{self.result}]:"
        yield from _docstring(f"{self.summary}: page by page, each of `limit`; nothing comes twice.")
        yield '        cursor: str | UnsetType | None = ""'
        yield "        while isinstance(cursor, str):"
        yield f"            answer = {wait}self.{self.name}({passed}, cursor=cursor)"
        yield "            yield answer"
        yield "            cursor = answer.cursor"

    def _declared(self, without: str = "") -> str:
        """The parameters of the signature. The first that is needed may be given by its place."""
        shown = [one for one in self.parameters if one.name != without]
        needed = [one for one in shown if one.default is None]
        first = needed[:1] if needed else []
        rest = [one.declared for one in shown if one not in first]
        words = [one.declared for one in first] + (["*", *rest] if rest else [])
        return "".join(f", {word}" for word in words)

    def _call(self) -> str:
        path = re.sub(r"{(\w+)}", r"{segment(\1)}", self.path)
        words = [f'"{self.verb}"', f'f"{path}"' if path != self.path else f'"{path}"', self.result]
        if query := [one.name for one in self.parameters if one.place == "query"]:
            words.append("query=parameters({" + ", ".join(f'"{name}": {name}' for name in query) + "})")
        if self.body:
            fields = ", ".join(f"{one.name}={one.name}" for one in self.parameters if one.place == "body")
            words.append(f"body=encode({self.body}({fields}))")
        if not self.repeatable:
            words.append("repeatable=False")
        if self.id in NOT_ERRORS:
            words.append(f"also={NOT_ERRORS[self.id]}")
        return f"Call({', '.join(words)})"


def modules(document: Mapping[str, Any], reading: Collection[str]) -> dict[str, str]:
    """The modules by file name, not formatted. reading: paths of POST that write nothing."""
    schemas = Schemas(document["components"]["schemas"], _asked(document))
    operations = [
        _Operation(path, verb, described, schemas, path in reading)
        for path, methods in document["paths"].items()
        for verb, described in methods.items()
    ]
    return {
        "types.py": HEAD.format(first="The records of the API.", second="Never sends or reads one.") + schemas.module(),
        "methods.py": _methods(operations, schemas, asynchronous=False),
        "async_methods.py": _methods(operations, schemas, asynchronous=True),
    }


def method_name(operation_id: str) -> str:
    """The method of an operation: its id in snake case, without a leading "get" or "list", or a "list" at the end."""
    snake = re.sub(r"(?<!^)([A-Z])", r"_\1", operation_id).lower()
    return re.sub(r"^(get|list)_|_list$", "", snake)


def _methods(operations: Sequence[_Operation], schemas: Schemas, *, asynchronous: bool) -> str:
    name, wait = ("AsyncMethods", "async ") if asynchronous else ("Methods", "")
    body: list[str] = []
    for operation in operations:
        body += [*operation.method(asynchronous), ""]
        if operation.pages:
            body += [*operation.pages_method(asynchronous), ""]
    text = "\n".join(body)
    used = sorted(one for one in schemas.in_order() if re.search(rf"\b{one}\b", text))
    used += [schemas.constant(kind) for kind in used if f"= {schemas.constant(kind)}" in text]
    abstract = ", ".join(["Iterable", *(["AsyncIterator" if asynchronous else "Iterator"]), "Mapping", "Sequence"])
    lines = [
        HEAD.format(first="A method for each operation of the API.", second="Never opens a connection."),
        "from __future__ import annotations\n",
        f"from collections.abc import {abstract}",
        "from typing import Any, Literal, TypeVar\n",
        "import msgspec",
        "from msgspec import UNSET, UnsetType\n",
        "from tidecast_client.call import Call, parameters, segment",
        "from tidecast_client.event_stream import Event",
        f"from tidecast_client.types import {', '.join(used)}\n",
        'T = TypeVar("T")',
        "encode = msgspec.json.Encoder().encode",
        f"\n\nclass {name}:",
        '    """The operations. Each raises NotReachable, UnexpectedAnswer, ProblemError."""\n',
        f"    {wait}def ask(self, call: Call[T]) -> T:",
        '        """Sends a request and reads its answer."""',
        "        raise NotImplementedError\n",
        f'    {wait}def write(self, path: str, records: Iterable[Any], key: str = "") -> Verdicts:',
        '        """Sends records. key: the Idempotency-Key, "" for a new one."""',
        "        raise NotImplementedError\n",
        *_events(asynchronous),
        text,
    ]
    return "\n".join(lines)


def _docstring(text: str) -> Iterator[str]:
    lines = textwrap.wrap(text, WIDTH)
    if len(lines) == 1:
        yield f'        """{text}"""'
        return
    yield f'        """{lines[0]}'
    yield from (f"        {line}" for line in lines[1:])
    yield '        """'


def _events(asynchronous: bool) -> list[str]:
    kind = "AsyncIterator" if asynchronous else "Iterator"
    return [
        f"    def events(self, call: Call[Event]) -> {kind}[Event]:",
        '        """Opens a stream of server-sent events."""',
        "        raise NotImplementedError\n",
    ]


def _query_parameter(described: Mapping[str, Any], schemas: Schemas) -> _Parameter:
    schema = described["schema"]
    annotation = schemas.annotation(schema, asked=True)
    if "(," in schema.get("pattern", ""):
        annotation = "str | Sequence[str]"  # with commas between them
    if schema.get("default", "") != "":  # an empty text says nothing, and is left out
        return _Parameter(described["name"], annotation, schemas.literal(schema["default"]), "query")
    if described.get("required"):
        return _Parameter(described["name"], annotation, None, "query")
    return _Parameter(described["name"], f"{annotation} | None", "None", "query")


def _records_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of one record where a body has one or an array of them."""
    array = next(one for one in schema["anyOf"] if one.get("type") == "array")
    items: Mapping[str, Any] = array["items"]
    return items


def _asked(document: Mapping[str, Any]) -> list[Any]:
    """The schemas of all bodies that callers send."""
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    return [
        content["schema"]
        for operation in operations
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
        if kind == "application/json"
    ]
