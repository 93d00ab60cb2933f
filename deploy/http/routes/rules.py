"""The routes for operators' rules: listed, put and deleted. Never obeys one, never keeps one."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Protocol

import msgspec

from actors.requests.goals import Goals
from actors.rules.schema import DeletedRule, PutRule, Rule
from deploy.http.access import require_own_page
from deploy.http.openapi import Operation
from deploy.http.problem import Reader, RefusedError
from deploy.http.route import GOT, POSTED, Request, Response, Route
from streaming.errors import LogUnavailable
from streaming.operator_rule import MAX_NAME_LENGTH, MAX_RULES, NAME, RuleBody

EXAMPLE = {"action": "pin", "streamers": ["ana"], "position": 1, "reason": "the finals, all weekend"}
AGAIN = ((b"retry-after", b"5"),)


class Rules(Protocol):
    """The rules that a replica knows; `actors.answers.known_rules.KnownRules` lists them. From memory."""

    def rules(self) -> list[Rule]:
        """Every rule, by name."""

    def rule(self, name: str) -> Rule | None:
        """The rule of a name; None where there is none."""

    def count(self) -> int:
        """Number of rules."""


class RuleLog(Protocol):
    """The writing of rules; `actors.rules.writer.RuleWriter` does it. Blocks."""

    def put(self, name: str, body: RuleBody) -> int:
        """Returns the time in ms once the log has the rule. Raises LogUnavailable."""

    def delete(self, name: str) -> int:
        """Returns the time in ms once the log has that there is none. Raises LogUnavailable."""


def rule_routes(rules: Rules, log: RuleLog, *, local_only: bool = False) -> list[Route]:
    """The routes. local_only: whether only this machine reaches http.host."""
    encode = msgspec.json.Encoder().encode
    read = Reader(RuleBody, root='a JSON object such as {"action": "hide", "rooms": ["room-1"]}')

    def listed(_: Request) -> Response:
        return Response(encode(rules.rules()))

    def one(request: Request) -> Response:
        name = _named(request)
        if (rule := rules.rule(name)) is None:
            detail = f"there is no rule {name!r}; GET /v1/rules lists the rules"
            raise RefusedError(HTTPStatus.NOT_FOUND, detail, field="name", allowed="the name of a rule")
        return Response(encode(rule))

    def put(request: Request) -> Response:
        _require_own_page(request, local_only=local_only)
        name, body = _named(request), read.json(request.body)
        _require_goals(body)
        if rules.count() >= MAX_RULES and rules.rule(name) is None:
            detail = f"there are {MAX_RULES} rules already; delete one, or put one of these names"
            raise RefusedError(HTTPStatus.CONFLICT, detail, field="name", allowed=f"at most {MAX_RULES} rules")
        try:
            put_at_ms = log.put(name, body)
        except LogUnavailable as err:
            raise _unwritten(err) from err
        return Response(encode(PutRule(name=name, put_at_ms=put_at_ms)), status=HTTPStatus.ACCEPTED.value)

    def delete(request: Request) -> Response:
        _require_own_page(request, local_only=local_only)
        name = _named(request)
        known = rules.rule(name)
        try:
            at_ms = log.delete(name)
        except LogUnavailable as err:
            raise _unwritten(err) from err
        configured = known is not None and (known.origin == "configuration" or known.replaces_configured)
        body = encode(DeletedRule(name=name, deleted_at_ms=at_ms, restores_configured=configured))
        return Response(body, status=HTTPStatus.ACCEPTED.value)

    read_errors, write_errors = GOT, (HTTPStatus.FORBIDDEN, HTTPStatus.BAD_REQUEST, HTTPStatus.SERVICE_UNAVAILABLE)
    return [
        Route(
            "GET",
            "/v1/rules",
            listed,
            Operation("listRules", "Operators' rules, by name, in force or not", list[Rule], errors=read_errors),
            tables=True,
            scope="admin",
        ),
        Route(
            "GET",
            "/v1/rules/{name}",
            one,
            Operation("getRule", "One operator's rule", Rule, errors=(*read_errors, HTTPStatus.NOT_FOUND)),
            tables=True,
            scope="admin",
        ),
        Route(
            "PUT",
            "/v1/rules/{name}",
            put,
            Operation(
                "putRule",
                "Pin, boost, bury or hide rooms, or say what lists are for: accepted once it is on the log, "
                "in force in a second or so",
                PutRule,
                body=RuleBody,
                example=EXAMPLE,
                status=HTTPStatus.ACCEPTED,
                errors=(*POSTED, HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT),
            ),
            blocking=True,
            tables=True,
            scope="admin",
        ),
        Route(
            "DELETE",
            "/v1/rules/{name}",
            delete,
            Operation(
                "deleteRule",
                "End a rule: accepted once it is on the log, whether there is one or not",
                DeletedRule,
                status=HTTPStatus.ACCEPTED,
                errors=write_errors,
            ),
            blocking=True,
            tables=True,
            scope="admin",
        ),
    ]


def _named(request: Request) -> str:
    """The rule's name. Raises RefusedError."""
    name = request.path["name"]
    if re.fullmatch(NAME, name):
        return name
    allowed = f'1 to {MAX_NAME_LENGTH} of letters, digits, ".", "_" and "-", the first a letter or a digit'
    raise RefusedError(HTTPStatus.BAD_REQUEST, f"{name[:80]!r} is no name of a rule", field="name", allowed=allowed)


def _require_goals(body: RuleBody) -> None:
    """Raises RefusedError: the weights are none that a list can be for."""
    try:
        msgspec.convert(body.goals, Goals)
    except msgspec.ValidationError as err:
        allowed = f"weights of {', '.join(Goals.__struct_fields__)}, one of them above 0"
        raise RefusedError(HTTPStatus.BAD_REQUEST, str(err), field="goals", allowed=allowed) from err


def _require_own_page(request: Request, *, local_only: bool) -> None:
    if not request.key:
        require_own_page(request.headers, local_only=local_only)


def _unwritten(err: LogUnavailable) -> RefusedError:
    detail = f"{err}. Ask again: to do it twice does no harm"
    return RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=AGAIN)
