"""What a caller is told of the records that were sent: a verdict on each. Never decides one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from actors.intake.admission import MAX_RECORD_BYTES, Receipt, Refusal
from deploy.http.problem import Problem, describe, problem
from streaming.log.codec import json_schema

AT = re.compile(r" - at `\$\.?([^`]*)`$")
NAMED = re.compile(r"`(\w+)`|\b(at_ms)\b")


class RecordProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a record was not taken. `field`: of the record, "" for all of it; `allowed`: what may stand there."""

    reason: str  # malformed, unknown_version, refused (its time cannot be right) or too_long
    detail: str
    field: str
    allowed: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one record. `mended`: what was read though not as the schema says (docs/kafka.md lists it)."""

    index: int  # of the record in the request, from 0; of lines, empty ones are not counted
    accepted: bool
    problem: RecordProblem | UnsetType = UNSET
    mended: tuple[str, ...] | UnsetType = UNSET


class Verdicts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of each record, in the order of the request. Kafka has those that are accepted."""

    accepted: int  # how many
    refused: int
    verdicts: list[Verdict]


class NothingTaken(Problem, frozen=True, kw_only=True):
    """A problem, with what is wrong with each record. `field` and `allowed` are those of the first."""

    accepted: int
    refused: int
    verdicts: list[Verdict]


class NotWritten(Problem, frozen=True, kw_only=True):
    """A problem, with whether some of the records may be written all the same, now or later."""

    may_be_written: bool


class Judge:
    """Puts what became of the records of one topic into words."""

    def __init__(self, topic: str) -> None:
        schema = json_schema(topic)
        kinds = schema["$defs"].values()
        self._fields: Mapping[str, Any] = {name: node for kind in kinds for name, node in kind["properties"].items()}
        self._whole = "an object as the topic " + topic + " has it: " + ", ".join(self._fields)
        types = [kind["properties"]["type"]["enum"][0] for kind in kinds if "type" in kind["properties"]]
        self._types = ", ".join(types)

    def verdicts(self, receipt: Receipt) -> Verdicts:
        """The verdict on each record."""
        return Verdicts(accepted=receipt.accepted, refused=len(receipt.refused), verdicts=list(self._each(receipt)))

    def nothing_taken(self, receipt: Receipt) -> NothingTaken:
        """The problem where every record was refused."""
        found = self.verdicts(receipt)
        first = found.verdicts[0].problem
        assert isinstance(first, RecordProblem)
        detail = first.detail if receipt.count == 1 else f"none of the {receipt.count} records: {first.detail}"
        said = problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, field=first.field, allowed=first.allowed)
        return NothingTaken(**msgspec.structs.asdict(said), **msgspec.structs.asdict(found))

    def _each(self, receipt: Receipt) -> Iterator[Verdict]:
        refused, mended = receipt.refused, receipt.mended
        for index in range(receipt.count):
            if index in refused:
                yield Verdict(index=index, accepted=False, problem=self._problem(refused[index]))
            elif index in mended:
                yield Verdict(index=index, accepted=True, mended=mended[index])
            else:
                yield Verdict(index=index, accepted=True)

    def _problem(self, refusal: Refusal) -> RecordProblem:
        reason, what = refusal
        if reason == "unknown_version":
            return RecordProblem(reason=reason, detail=what, field="v", allowed="1, or nothing")
        if reason == "too_long":
            return RecordProblem(reason=reason, detail=what, field="", allowed=f"at most {MAX_RECORD_BYTES} bytes")
        field = self._field(what)
        allowed = self._types if field == "type" else describe(_one(self._fields[field])) if field else self._whole
        return RecordProblem(reason=reason, detail=AT.sub("", what), field=field, allowed=allowed)

    def _field(self, what: str) -> str:
        """The field that a reason is about, "" where that is none."""
        place = AT.search(what)
        names = [place[1].split("[")[0]] if place else [one or other for one, other in NAMED.findall(what)]
        return next((name for name in names if name in self._fields), "")


def _one(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """A field's schema without alternatives."""
    options: list[Mapping[str, Any]] = node.get("anyOf", [node])
    return options[0]
