"""The one tree of the client's errors. Never raises.

ClientError
├── NotReachable         no answer came: nothing listens, the connection broke, or the time was up
├── UnexpectedAnswer     what came is no answer of Tidecast's API
└── ProblemError         the API refused or failed, with an RFC 9457 problem
    ├── BadRequest       400, 413, 415, 422: which field, and what is allowed there
    ├── NoAccess         401, 403: the key is missing, unknown, or may not do this
    ├── NotFound         404: a room that is not live, a viewer without a profile
    ├── KeyReused        409: the Idempotency-Key came with other records before
    ├── NotNow           408, 429, 502, 503, 504: the same request may be answered later
    └── ServerError      any other status: a failure on the other side
"""

from __future__ import annotations

from tidecast_client.types import Problem


class ClientError(Exception):
    """Every error that the client raises on purpose.

    idempotency_key: of a request that writes; sent again with the same key and records, nothing is written twice.
    """

    idempotency_key: str = ""


class NotReachable(ClientError):
    """No answer came. refused: nothing was sent, because nobody listens or no connection could be made."""

    def __init__(self, message: str, *, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused


class UnexpectedAnswer(ClientError):
    """Something else than Tidecast's API answers, or another release of it. text: the beginning of what came."""

    def __init__(self, message: str, *, status: int, text: str) -> None:
        super().__init__(message)
        self.status = status
        self.text = text


class ProblemError(ClientError):
    """The API's RFC 9457 problem. retry_after_s: when to ask again, None where the answer does not say."""

    def __init__(self, problem: Problem, retry_after_s: float | None = None, *, may_be_written: bool = True) -> None:
        super().__init__(_sentence(problem))
        self.problem = problem
        self.retry_after_s = retry_after_s
        self.may_be_written = may_be_written

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def field(self) -> str:
        """The JSON path, or the parameter, of what is wrong; "" where it is none, or all."""
        return self.problem.field or ""

    @property
    def allowed(self) -> str:
        """What may stand in the field, in words; "" where nothing is said."""
        return self.problem.allowed or ""


class BadRequest(ProblemError):
    """The request asks for something that is not allowed."""


class NoAccess(ProblemError):
    """The key is missing, unknown, or not allowed to do this."""


class NotFound(ProblemError):
    """A room that is not live, a viewer without a profile, or a route that this installation does not have."""


class KeyReused(ProblemError):
    """The Idempotency-Key came with other records before. Nothing was written."""


class NotNow(ProblemError):
    """The same request may be answered later. may_be_written: whether some of its records may be on Kafka."""


class ServerError(ProblemError):
    """A failure on the other side; its log says which."""


KINDS: dict[int, type[ProblemError]] = {
    **dict.fromkeys((400, 413, 415, 422), BadRequest),
    **dict.fromkeys((401, 403), NoAccess),
    404: NotFound,
    409: KeyReused,
    **dict.fromkeys((408, 429, 502, 503, 504), NotNow),
}


def _sentence(problem: Problem) -> str:
    words = f"{problem.detail or problem.title} (HTTP {problem.status})"
    if problem.field:
        words += f"; field {problem.field}"
    return words + (f"; allowed: {problem.allowed}" if problem.allowed else "")
