"""The models' versions for HTTP: read from a replica's tables, changed through the registry. Never loads one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.http.routes.models import ListedVersion, ListedVersions, Promoted, RolledBack

if TYPE_CHECKING:
    from actors.state.table_reader import Tables
    from deploy.config.settings import Settings


class ModelVersions:
    """The versions that this replica has read of. Any thread may ask; a change opens the registry for itself."""

    def __init__(self, tables: Tables, settings: Settings) -> None:
        self._tables = tables
        self._settings = settings

    def listed(self) -> ListedVersions:
        """Every version, the newest record first."""
        return ListedVersions(
            answers=self._tables.rooms.embeddings.version,
            versions=[
                ListedVersion(
                    version=one.record.version,
                    state=one.state,
                    at_ms=one.record.at_ms,
                    metrics=one.record.metrics,
                )
                for one in self._tables.versions
            ],
        )

    def promote(self, version: str) -> Promoted:
        """Puts a version live, once its files were read back and are whole. Raises VersionError, LogUnavailable."""
        # pyarrow, for the store: 60 MB that a replica spares until somebody changes a version by hand
        from deploy.terminal.model_registry import registry_of  # noqa: PLC0415
        from training.registry.registry import OpenGate  # noqa: PLC0415

        with registry_of(self._settings) as registry:
            return Promoted(version=version, reason=registry.promote(version, OpenGate()).reason)

    def rollback(self) -> RolledBack:
        """Puts live what was live before. Raises VersionError, LogUnavailable."""
        from deploy.terminal.model_registry import registry_of  # noqa: PLC0415

        with registry_of(self._settings) as registry:
            was, live = registry.rollback()
            return RolledBack(was=was, live=live)
