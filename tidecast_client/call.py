"""One request of the API and the reading of what comes back. Never sends it."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from tidecast_client.errors import KINDS, ClientError, NotNow, ProblemError, ServerError, UnexpectedAnswer
from tidecast_client.types import Problem

T = TypeVar("T")

KEY = "idempotency-key"
SHOWN = 200  # characters of an answer that nobody expects
NOT_BEGUN = 429  # too many wait: nothing of the request was done


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request. kind: the type of the answer; str for plain text.

    repeatable: whether it may be sent again after it may have arrived: it reads, or it does no more the second time.
    also: statuses beside 2xx whose body is of this kind.
    """

    method: str
    path: str
    kind: type[T]
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    also: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """The Idempotency-Key, "" where there is none."""
        return self.headers.get(KEY, "")


class _Written(msgspec.Struct):
    """What a problem of a request that writes says further."""

    may_be_written: bool = True


def segment(value: str) -> str:
    """An id as one segment of a path."""
    return quote(value, safe="")


def parameters(values: Mapping[str, Any]) -> dict[str, str]:
    """A query string's parameters, without those that are None."""
    return {name: _text(value) for name, value in values.items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(value)
    return str(value)


def answer_of(call: Call[T], status: int, headers: Mapping[str, str], body: bytes) -> T:
    """The answer. headers: names in lower case. Raises ProblemError, UnexpectedAnswer."""
    if 200 <= status < 300 or status in call.also:
        if call.kind is str:
            return body.decode(errors="replace")  # type: ignore[return-value]
        try:
            return msgspec.json.decode(body, type=call.kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
            if status not in call.also:  # a proxy may answer with such a status, too
                raise _unexpected(call, status, body) from err
    error = _error(call, status, headers, body)
    error.idempotency_key = call.key
    raise error


def _error(call: Call[Any], status: int, headers: Mapping[str, str], body: bytes) -> ClientError:
    kind = KINDS.get(status, ServerError)
    retry_after_s = seconds(headers.get("retry-after", ""))
    try:
        problem = msgspec.json.decode(body, type=Problem)
        written = msgspec.json.decode(body, type=_Written).may_be_written and status != NOT_BEGUN
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if kind is not NotNow:
            return _unexpected(call, status, body)
        # a gateway before the API says so in words of its own
        problem = Problem(type="about:blank", title="", status=status, detail=_excerpt(body) or "no answer of the API")
        return NotNow(problem, retry_after_s, may_be_written=status != NOT_BEGUN)
    return kind(problem, retry_after_s, may_be_written=written)


def _unexpected(call: Call[Any], status: int, body: bytes) -> UnexpectedAnswer:
    text = _excerpt(body)
    return UnexpectedAnswer(f"{call.path} answers {status}: {text}", status=status, text=text)


def _excerpt(body: bytes) -> str:
    return body[:SHOWN].decode(errors="replace")


def seconds(retry_after: str) -> float | None:
    """The seconds of a Retry-After header, which has a number or a date; None where it has neither."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def repeats(call: Call[Any], error: ClientError, *, refused: bool) -> bool:
    """Whether to send a request again after an error. refused: it has not reached anybody."""
    if refused:
        return True
    if isinstance(error, NotNow):
        return call.repeatable or not error.may_be_written
    return call.repeatable and not isinstance(error, (ProblemError, UnexpectedAnswer))
