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
        raise Fenced(f"{what}: another process has taken this one's place ({type(err).__name__})") from err
    except UnknownTopicOrPartitionError as err:
        raise TopicMissing(f"{what}: a topic does not exist; `tidecast topics` creates what is missing") from err
    except AuthorizationError as err:
        raise LogError(f"{what}: Kafka does not allow it ({err}); see the security settings of [kafka]") from err
    except (KafkaError, OSError) as err:
        raise LogUnavailable(f"{what}: {type(err).__name__}: {err}") from err


def quiet_client_log() -> None:
    """What matters is raised; kafka-python's own log says an outage 20 times a second."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
