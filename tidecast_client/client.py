"""The client of one installation, for threads. Never starts one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from tidecast_client.batch import Tally, calls, new_key
from tidecast_client.call import Call, answer_of, repeats
from tidecast_client.errors import ClientError, NotReachable, ProblemError
from tidecast_client.event_stream import SILENCE_S, Event, Reading
from tidecast_client.methods import Methods
from tidecast_client.retries import Retries
from tidecast_client.types import Verdicts

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

TIMEOUT_S = 5.0  # more than the API takes to say that Kafka is away (intake.timeout_s, 4)


class Client(Methods):
    """A client that keeps its connections open. Threads may share it; close it, or use it in a `with`.

    Each method may raise NotReachable, UnexpectedAnswer and ProblemError.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        timeout_s: float = TIMEOUT_S,
        retries: Retries | None = None,
        env_proxies: bool = True,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """url: of the API, such as http://127.0.0.1:8000. key: an API key, "" where callers need none.

        timeout_s: of one attempt: to connect, and between two pieces of the answer. retries: None for Retries().
        env_proxies: whether HTTP_PROXY and the like count. transport: httpx's, for a test or a special way.
        """
        import httpx  # noqa: PLC0415  0.2 s, which a command's help and a module that only names types spare

        self.url = url.rstrip("/")
        self._retries = retries or Retries()
        self._sleep = sleep
        self._timeout_s = timeout_s
        self._http = httpx.Client(**options_of(self.url, key, timeout_s, env_proxies), transport=transport)

    def ask(self, call: Call[T]) -> T:
        """Sends a request and reads the answer; sends it again where that is safe, within the bounds of `retries`."""
        attempt = 0
        while True:
            try:
                return answer_of(call, *self._send(call))
            except ClientError as err:
                attempt += 1
                wait_s = wait_before(self._retries, attempt, call, err)
                if wait_s is None:
                    raise
                self._sleep(wait_s)

    def write(self, path: str, records: Iterable[Any], key: str = "") -> Verdicts:
        """Writes records in as many requests as they need. Returns a verdict on each once Kafka has those accepted.

        Refused ones raise nothing. Where a request fails, the earlier ones are written: the error has the
        Idempotency-Key with which the same records can be sent again. key: "" for a new one.
        """
        tally, key = Tally(), key or new_key()
        for call in calls(path, records, key):
            try:
                tally.add(self.ask(call))
            except ClientError as err:
                err.idempotency_key = key
                raise
        return tally.total()

    def events(self, call: Call[Event]) -> Iterator[Event]:
        """Server-sent events for as long as the caller takes them: a connection that ends is followed by another.

        Raises ProblemError, UnexpectedAnswer, and NotReachable once `retries` connections have failed in a row.
        """
        import httpx  # noqa: PLC0415

        reading = Reading(call)
        while True:
            asked = reading.begin()
            try:
                with self._http.stream(**request_of(asked), timeout=silence(self._timeout_s)) as response:
                    if response.status_code != 200:
                        answer_of(asked, response.status_code, response.headers, response.read())
                    for line in response.iter_lines():
                        if (event := reading.take(line)) is not None:
                            yield event
                wait_s = reading.again_s  # it ends now and then, on purpose
            except httpx.HTTPError as err:
                later_s = before_stream(self._retries, reading, asked, failure := unreachable(self.url, asked, err))
                if later_s is None:
                    raise failure from err
                wait_s = later_s
            except ClientError as err:
                if (later_s := before_stream(self._retries, reading, asked, err)) is None:
                    raise
                wait_s = later_s
            self._sleep(wait_s)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _send(self, call: Call[Any]) -> tuple[int, Mapping[str, str], bytes]:
        import httpx  # noqa: PLC0415

        try:
            response = self._http.request(**request_of(call))
        except httpx.HTTPError as err:
            raise unreachable(self.url, call, err) from err
        return response.status_code, response.headers, response.content


def options_of(url: str, key: str, timeout_s: float, env_proxies: bool) -> dict[str, Any]:
    """What a client of httpx is made with. Certificates, which take 20 ms to read, are for https alone."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    verify = not url.lower().startswith("http:")
    return {"base_url": url, "headers": headers, "timeout": timeout_s, "trust_env": env_proxies, "verify": verify}


def request_of(call: Call[Any]) -> dict[str, Any]:
    """A request as httpx's arguments."""
    headers = {"content-type": "application/json", **call.headers} if call.body is not None else dict(call.headers)
    query = call.query or None
    return {"method": call.method, "url": call.path, "params": query, "content": call.body, "headers": headers}


def unreachable(url: str, call: Call[Any], err: httpx.HTTPError) -> NotReachable:
    """What httpx says of a request without an answer, as this client's error."""
    import httpx  # noqa: PLC0415

    refused = isinstance(err, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
    error = NotReachable(f"nothing answers at {url} ({str(err) or type(err).__name__})", refused=refused)
    error.idempotency_key = call.key
    return error


def wait_before(retries: Retries, attempt: int, call: Call[Any], err: ClientError) -> float | None:
    """The seconds to wait before a request is sent again; None where it is not."""
    if not repeats(call, err, refused=isinstance(err, NotReachable) and err.refused):
        return None
    return retries.wait_s(attempt, err.retry_after_s if isinstance(err, ProblemError) else None)


def silence(timeout_s: float) -> Any:
    """The time limits of a stream: one that lives says something every few seconds."""
    import httpx  # noqa: PLC0415

    return httpx.Timeout(timeout_s, read=max(timeout_s, SILENCE_S))


def before_stream(retries: Retries, reading: Reading, call: Call[Any], err: ClientError) -> float | None:
    """The seconds to wait before a stream is opened anew after a failure; None where it is not."""
    reading.attempt += 1
    return wait_before(retries, reading.attempt, call, err)
