"""The schemas of the OpenAPI document as Python types. Never writes a file, never knows an operation."""

from __future__ import annotations

import json
import keyword
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SIMPLE = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
TAG = "type"
LEAST_SHARED = 3  # fields: with fewer in common two records are alike by chance
WIDTH = 112


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a record. default: as Python, None where it has to be given."""

    name: str
    annotation: str
    default: str | None
    description: str


class Schemas:
    """The records of a document. Those that callers send leave defaults out; those that come may have more fields."""

    def __init__(self, components: Mapping[str, Any], asked: Sequence[Any]) -> None:
        """asked: the schemas of bodies that are sent."""
        self._components = components
        self._sent = set(self._reached(asked))
        self._bases = {name: self._base_of(name) for name in components}

    def in_order(self) -> list[str]:
        """The records, each after those that it is made of. Parameters of a query string are none."""
        ordered: list[str] = []

        def add(name: str) -> None:
            needed = [*filter(None, [self._bases[name]]), *self._named(self._components[name])]
            for other in needed:
                if other != name and other not in ordered:
                    add(other)
            if name not in ordered:
                ordered.append(name)

        for name in self._components:
            if name in self._referenced():
                add(name)
        return ordered

    def names(self, record: str) -> set[str]:
        """The fields of a record; none where it is no record."""
        return set(self._components.get(record, {}).get("properties", ()))

    def fields(self, record: str) -> list[Field]:
        """The fields of a record in the order of the document, without its tag."""
        schema, sent = self._components[record], record in self._sent
        return [
            self._field(name, one, name in schema.get("required", ()), sent=sent)
            for name, one in schema["properties"].items()
            if not _is_tag(name, one)
        ]

    def constant(self, record: str) -> str:
        """The name of a record without anything said, where that is a default. One object: msgspec leaves it out."""
        return f"DEFAULT_{record.upper()}"

    def annotation(self, schema: Mapping[str, Any], *, asked: bool = False) -> str:
        """A schema as a type. asked: of a request, where a text out of several is one of these and no other."""
        if "$ref" in schema:
            return str(schema["$ref"].rpartition("/")[2])
        if options := schema.get("anyOf") or schema.get("oneOf"):
            found = dict.fromkeys(self.annotation(one, asked=asked) for one in options if one)
            return _joined(*found)
        if "enum" in schema:
            values, exact = schema["enum"], f"Literal[{', '.join(map(json.dumps, schema['enum']))}]"
            # a later release may answer with further ones
            return exact if asked else "str" if isinstance(values[0], str) else "int"
        kind = schema.get("type")
        if kind == "array":
            return f"{'Sequence' if asked else 'list'}[{self.annotation(schema.get('items', {}), asked=asked)}]"
        if kind == "object":
            values = schema.get("additionalProperties", {})
            held = self.annotation(values if isinstance(values, Mapping) else {}, asked=asked)
            return f"{'Mapping' if asked else 'dict'}[str, {held}]"
        return SIMPLE.get(str(kind), "Any")

    def literal(self, value: Any) -> str:
        """A default as Python."""
        return "()" if value == [] else repr(value)

    def module(self) -> str:
        """All records as Python, in an order in which they can be read."""
        records = self.in_order()
        listed = ", ".join(f'"{name}"' for name in sorted(records))
        head = (
            "from __future__ import annotations\n\nfrom collections.abc import Mapping, Sequence\n"
            "from typing import Any, Literal\n\nimport msgspec\nfrom msgspec import UNSET, UnsetType\n\n"
            f'__all__ = ["UNSET", "UnsetType", {listed}]\n'
        )
        text = "".join("\n\n" + "\n".join(self._record(name)) + "\n\n" for name in records)
        for name in records:
            if f"= {self.constant(name)}\n" in text:
                end = text.index("\n\n\n", text.index(f"class {name}("))
                text = f"{text[:end]}\n\n\n{self.constant(name)} = {name}(){text[end:]}"
        return head + text

    def _record(self, name: str) -> Iterator[str]:
        schema, base = self._components[name], self._bases[name]
        options = ["frozen=True", "kw_only=True"]
        if name in self._sent:
            options.append("omit_defaults=True")
        tag = next((one["enum"][0] for key, one in schema["properties"].items() if _is_tag(key, one)), None)
        if tag is not None:
            options += [f'tag_field="{TAG}"', f"tag={json.dumps(tag)}"]
        yield f"class {name}({', '.join([base or 'msgspec.Struct', *options])}):"
        yield from _docstring(schema.get("description", ""))
        inherited = self.names(base) if base else set()
        for field in self.fields(name):
            if field.name in inherited:
                continue
            for line in textwrap.wrap(field.description, WIDTH):
                yield f"    # {line}"
            yield f"    {field.name}: {field.annotation}" + (f" = {field.default}" if field.default is not None else "")

    def _field(self, name: str, schema: Mapping[str, Any], required: bool, *, sent: bool) -> Field:
        assert not keyword.iskeyword(name), f"{name} cannot be a field in Python"
        annotation = self.annotation(schema, asked=sent)
        options = [schema, *schema.get("anyOf", ())]
        description = next((one["description"] for one in options if "description" in one), "")
        if required:
            return Field(name, annotation, None, description)
        if "default" not in schema:
            return Field(name, _joined(*annotation.split(" | "), "UnsetType"), "UNSET", description)
        default = schema["default"]
        if not sent and isinstance(default, str) and len(default) > WIDTH // 2:
            default = ""  # a sentence; it is there in every answer
        if isinstance(default, Mapping) and "$ref" in schema:
            return Field(name, annotation, self.constant(annotation), description)
        return Field(name, annotation, "[]" if default == [] and not sent else self.literal(default), description)

    def _base_of(self, name: str) -> str | None:
        """The record of which this one is a further kind: it has all of its fields, and more."""
        mine = self._components[name]
        alike = [
            other
            for other, schema in self._components.items()
            if other != name
            and (other in self._sent) == (name in self._sent)
            and LEAST_SHARED <= len(schema.get("properties", ())) < len(mine.get("properties", ()))
            and all(mine["properties"].get(key) == one for key, one in schema["properties"].items())
            and set(schema.get("required", ())) == set(mine.get("required", ())) & set(schema["properties"])
            and not any(_is_tag(key, one) for key, one in schema["properties"].items())
        ]
        return max(alike, key=lambda other: len(self._components[other]["properties"]), default=None)

    def _referenced(self) -> set[str]:
        """The records that are the body of something, or part of one. Others only list a query string's parameters."""
        used = {other for name in self._components for other in self._named(self._components[name]) if other != name}
        tops = {name for name in self._components if not name.endswith(("Query",)) or name in self._sent}
        return used | tops

    def _reached(self, schemas: Any) -> Iterator[str]:
        """The records that these schemas name, and those that these name."""
        waiting, seen = list(self._named(schemas)), set()
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                yield name
                waiting += self._named(self._components[name])

    def _named(self, node: Any) -> Iterator[str]:
        if isinstance(node, Mapping):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"].rpartition("/")[2]
            for one in node.values():
                yield from self._named(one)
        elif isinstance(node, (list, tuple)):
            for one in node:
                yield from self._named(one)


def _joined(*types: str) -> str:
    """Several types as one, None last."""
    return " | ".join(sorted(types, key=lambda one: one == "None"))


def _is_tag(name: str, schema: Mapping[str, Any]) -> bool:
    return name == TAG and len(schema.get("enum", ())) == 1


def _docstring(text: str) -> Iterator[str]:
    first, _, rest = text.partition("\n\n")
    lines = textwrap.wrap(" ".join(first.split()) or "A record of the API.", WIDTH)
    more = [line for part in rest.split("\n\n") for line in ("", *textwrap.wrap(" ".join(part.split()), WIDTH))]
    more = more if rest.strip() else []
    if len(lines) == 1 and not more:
        yield f'    """{lines[0]}"""\n'
        return
    yield f'    """{lines[0]}'
    for line in [*lines[1:], *more]:
        yield f"    {line}" if line else ""
    yield '    """\n'
