"""Keeps the input of a long run whole, for an undisturbed pass over it. Never reads it."""

from __future__ import annotations

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from deploy.config.settings import Settings
from streaming.log.topics import ROOMS

DAY_MS = 24 * 3600 * 1000


def keep_whole(settings: Settings) -> None:
    """Lets no segment of `rooms` close, so that none is compacted: else beginnings of rooms go after ten minutes."""
    admin = KafkaAdminClient(**settings.kafka.client())
    try:
        name = f"{settings.topics.prefix}{ROOMS}"
        topic = ConfigResource(ConfigResourceType.TOPIC, name, configs={"segment.ms": str(DAY_MS)})
        admin.alter_configs([topic], incremental=True)
    finally:
        admin.close()
