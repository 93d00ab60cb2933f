"""Turns kafka-python's errors into ours. Never retries."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from kafka.errors import (
    AuthorizationError,
    FencedInstanceIdError,
    InvalidProducerEpochError,
    KafkaError,
    ProducerFencedError,
    TransactionCoordinatorFencedError,
    UnknownTopicOrPartitionError,
)

from streaming.errors import Fenced, LogError, LogUnavailable, TopicMissing

_FENCED = (
    ProducerFencedError,
    InvalidProducerEpochError,
    FencedInstanceIdError,
    TransactionCoordinatorFencedError,
)


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Turns kafka-python's errors into ours."""
    try:
        yield
    except _FENCED as err:
        raise Fenced(
            f"{what}: another process has taken this one's place ({type(err).__name__}). Where this is neither a "
            "restart nor an upgrade, a second installation uses the same Kafka under the same names, and the older one "
            "stands by: give one of them a topics.prefix of its own"
        ) from err
    except UnknownTopicOrPartitionError as err:
        raise TopicMissing(f"{what}: a topic does not exist; `tidecast topics` creates what is missing") from err
    except AuthorizationError as err:
        raise LogError(f"{what}: Kafka does not allow it ({err}); see the security settings of [kafka]") from err
    except (KafkaError, OSError) as err:
        raise LogUnavailable(f"{what}: {_reason(err)}") from err


@contextlib.contextmanager
def connecting(servers: str, what: str = "") -> Iterator[None]:
    """`translated` for a connection attempt, with advice where no broker answers. what: the attempt, in words."""
    try:
        with translated(what or f"connecting to Kafka at {servers}"):
            yield
    except LogUnavailable as err:
        reason = _reason(err.__cause__ or err)
        raise LogUnavailable(
            f"no Kafka answers at {servers} ({reason}); `tidecast up` and `tidecast kafka start` start one, "
            "kafka.bootstrap_servers names yours"
        ) from err


def _reason(err: BaseException) -> str:
    name, text = type(err).__name__, str(err)
    return text if text.startswith(name) else f"{name}: {text}"  # some texts begin with the name


def quiet_client_log() -> None:
    """Silences kafka-python's own log, which reports an outage 20 times a second. Errors are raised anyway."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
