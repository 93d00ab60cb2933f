"""The routes that take producers' records: rooms, chat, viewers' events. Never checks or writes a record itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

import msgspec

from actors.intake.intake import Taken
from actors.settings import IntakeConfig
from deploy.config.http_settings import is_loopback
from deploy.http.access import require_own_page
from deploy.http.batch import GZIP, LINES_TYPES, Batches
from deploy.http.body import encoding_of
from deploy.http.openapi import Header, Operation, Outcome, TextBody
from deploy.http.problem import CONTENT_TYPE, RefusedError, problem
from deploy.http.route import Request, Response, Route
from deploy.http.verdict import Judge, NothingTaken, NotWritten, Verdicts
from streaming.errors import KeyReused, NotTaken, TooManyWaiting
from streaming.events import ChatMessage, RoomEnded, RoomStarted, RoomUpdated, Speech, ViewerEvent
from streaming.log.topics import CHAT, ROOMS, VIEWER_EVENTS

KEY = "idempotency-key"
MAX_KEY_LENGTH = 255
AGAIN_S = {HTTPStatus.TOO_MANY_REQUESTS: 1, HTTPStatus.SERVICE_UNAVAILABLE: 2}
AT_MS = 1_700_000_000_000  # of examples
DESCRIPTION = (
    "One record, an array of records, or a record a line; on request compressed with gzip. They are checked as the "
    "workers check them and written as producers write them. The answer comes once Kafka has all that are accepted, "
    "with a verdict on each. Records that are wrong do not hold back the others."
)
KEY_HEADER = Header(
    "Idempotency-Key",
    "names this request: sent again with the same records, it is answered as before and nothing is written twice",
    {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    "8e03978e-40d5-43dd-bc93-6894a57f9324",
)
ERRORS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.CONFLICT,  # the Idempotency-Key had other records
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)
OUTCOMES = (
    Outcome(HTTPStatus.MULTI_STATUS, "Some records are accepted and some are not", Verdicts),
    Outcome(HTTPStatus.UNPROCESSABLE_ENTITY, "No record is accepted", NothingTaken),
    Outcome(HTTPStatus.TOO_MANY_REQUESTS, "Too many records wait here; nothing was written", NotWritten),
    Outcome(HTTPStatus.SERVICE_UNAVAILABLE, "Kafka has not acknowledged the records", NotWritten),
)


class Intake(Protocol):
    """The records' way to Kafka; `actors.intake.intake.Intake` is it."""

    async def take(
        self, topic: str, body: bytes, values_of: Callable[[bytes], Sequence[bytes]], key: str = "", *, packed: bool
    ) -> Taken:
        """Takes the records of a body; returns once Kafka has those that can be taken.

        Raises TooManyWaiting, NotTaken, KeyReused, and what `values_of` raises.
        """


class Openness(NamedTuple):
    """Whether records are taken over HTTP here, and from whom. refused: why not, "" where they are."""

    refused: str
    local_only: bool  # whether only requests for a name of this machine alone are heard


def openness_of(config: IntakeConfig, host: str, *, with_keys: bool) -> Openness:
    """The openness of these routes by the settings. host: http.host. with_keys: callers need keys."""
    local = is_loopback(host)
    if config.is_on(guarded=local or with_keys):
        return Openness("", local and config.enabled == "auto")
    why = (
        "off" if config.enabled == "off" else f"auto, and http.host is {host or 'every address'}, which is not loopback"
    )
    return Openness(f"records are not taken over HTTP here: intake.enabled is {why}", local_only=False)


def intake_routes(intake: Intake, config: IntakeConfig, host: str, *, with_keys: bool = False) -> list[Route]:
    """The routes that take records. host: http.host. with_keys: callers need keys."""
    openness = openness_of(config, host, with_keys=with_keys)
    batches = Batches(config.max_records, config.max_unpacked_bytes)

    def route(topic: str, operation_id: str, summary: str, body: Any, example: Mapping[str, Any]) -> Route:
        line = msgspec.json.encode(example).decode()
        operation = Operation(
            operation_id,
            summary,
            Verdicts,
            body=body,
            example=[example],
            errors=ERRORS,
            description=DESCRIPTION,
            outcomes=OUTCOMES,
            headers=(KEY_HEADER,),
            other_bodies=tuple(TextBody(kind, "a record a line, as JSON", f"{line}\n") for kind in LINES_TYPES),
            encodings=GZIP,
        )
        return Route("POST", f"/v1/{topic}", _Taking(topic, intake, batches, openness), operation, scope="ingest")

    room, chat, event = (
        {"type": "started", "room": "r-81", "streamer": "ana", "at_ms": AT_MS, "title": "Ranked to diamond",
         "category": "Chess", "language": "en"},
        {"type": "chat", "room": "r-81", "viewer": "w-4", "text": "what an opening", "at_ms": AT_MS},
        {"type": "viewer", "viewer": "w-4", "room": "r-81", "streamer": "ana", "action": "enter", "at_ms": AT_MS},
    )  # fmt: skip
    rooms = RoomStarted | RoomUpdated | RoomEnded
    said = ChatMessage | Speech
    return [
        route(ROOMS, "writeRooms", "Rooms that start, change or end", rooms | list[rooms], room),
        route(CHAT, "writeChat", "Chat messages, and what streamers say", said | list[said], chat),
        route(VIEWER_EVENTS, "writeViewerEvents", "What viewers do", ViewerEvent | list[ViewerEvent], event),
    ]


class _Taking:
    """The handler of one topic's route."""

    def __init__(self, topic: str, intake: Intake, batches: Batches, openness: Openness) -> None:
        self._topic = topic
        self._intake = intake
        self._batches = batches
        self._openness = openness
        self._judge = Judge(topic)
        self._encode = msgspec.json.Encoder().encode

    async def __call__(self, request: Request) -> Response:
        self._require_access(request)
        key = _key_of(request)
        if key and request.key:
            key = f"{request.key} {key}"  # one caller's keys are not another's
        packed = encoding_of(request.header("content-encoding").encode("latin-1")) != ""
        lines = request.header("content-type").partition(";")[0].strip().lower() in LINES_TYPES
        try:
            taken = await self._intake.take(
                self._topic,
                request.body,
                lambda body: self._batches.values(body, packed=packed, lines=lines),
                key,
                packed=packed,
            )
        except KeyReused as err:
            allowed = "a new key for each request"
            raise RefusedError(HTTPStatus.CONFLICT, str(err), field=KEY, allowed=allowed) from err
        except NotTaken as err:
            return self._not_written(err)
        return self._answer(taken)

    def _answer(self, taken: Taken) -> Response:
        receipt = taken.receipt
        headers = ((b"idempotency-replayed", b"true"),) if taken.repeated else ()
        if receipt.count and not receipt.accepted:
            wrong = self._judge.nothing_taken(receipt)
            return Response(self._encode(wrong), CONTENT_TYPE, wrong.status, headers)
        status = HTTPStatus.MULTI_STATUS if receipt.refused else HTTPStatus.OK
        return Response(self._encode(self._judge.verdicts(receipt)), status=status.value, headers=headers)

    def _not_written(self, err: NotTaken) -> Response:
        busy = isinstance(err, TooManyWaiting)
        status = HTTPStatus.TOO_MANY_REQUESTS if busy else HTTPStatus.SERVICE_UNAVAILABLE
        outcome = "some of the records may be written, now or later" if err.may_be_written else "nothing was written"
        said = problem(status, f"{err}; {outcome}")
        wrong = NotWritten(**msgspec.structs.asdict(said), may_be_written=err.may_be_written)
        again = ((b"retry-after", str(AGAIN_S[status]).encode()),)
        return Response(self._encode(wrong), CONTENT_TYPE, status.value, again)

    def _require_access(self, request: Request) -> None:
        """Raises RefusedError: records are not taken here, or not from this caller.

        Where no key is needed, a web page must not write with the help of whoever looks at it: its browser says from
        where it comes, and under which name it has found this machine.
        """
        if self._openness.refused:
            allowed = "http.keys_file, or intake.enabled = on, with which everybody who reaches http.host may write"
            raise RefusedError(HTTPStatus.FORBIDDEN, self._openness.refused, field="", allowed=allowed)
        if request.key:
            return
        require_own_page(request.headers, local_only=self._openness.local_only)


def _key_of(request: Request) -> str:
    """The request's Idempotency-Key, "" without one. Raises RefusedError."""
    given = [value for name, value in request.headers if name == KEY.encode()]
    if not given:
        return ""
    key = given[0].decode("latin-1").strip()
    if len(given) > 1 or not 0 < len(key) <= MAX_KEY_LENGTH or not (key.isascii() and key.isprintable()):
        raise RefusedError(
            HTTPStatus.BAD_REQUEST,
            "the Idempotency-Key cannot be read",
            field=KEY,
            allowed=f"one, of 1 to {MAX_KEY_LENGTH} printable ASCII characters",
        )
    return key
