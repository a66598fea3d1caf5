"""The deliveries of a run: those of the configured exports, and reports of scopes that no export covers."""

from __future__ import annotations

import logging
import re
from functools import cached_property
from typing import TYPE_CHECKING

from offgridflow_common.errors import OffGridFlowError
from offgridflow_common.exports.delivery import Deliveries
from tap_offgridflow_azure.cost_details.deliveries import REPORT_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from offgridflow_common.exports.delivery import Delivery, Export, Manifest
    from tap_offgridflow_azure.cost_details.deliveries import ReportLayout
    from tap_offgridflow_azure.exports.manifests import AzureLayout

_LOGGER = logging.getLogger("tap-offgridflow-azure")

_REPORTS = frozenset(REPORT_TYPES.values())
_SUBSCRIPTION = re.compile(r"subscriptions/[^/]+")

#: Reports are of these scopes and what is below them; of the others only queries are.
_WITH_REPORTS = re.compile(r"subscriptions/[^/]+|providers/microsoft\.billing/.+", re.IGNORECASE)


class AzureDeliveries(Deliveries):
    """The deliveries of the configured exports, and reports as those of more exports.

    Scopes for reports are looked for when they are wanted for the first time, so that whoever reads other
    exports alone needs no subscription and has no report made.

    Args:
        exports: The configured exports.
        layout: How they are laid out.
        reports: Gives what has reports made, when it is wanted for the first time.
        cost_scopes: The scopes that the settings name.
        subscriptions: Gives the ids of all subscriptions, where the settings name no scopes.
        start: First period wanted, ``YYYY-MM``, or None for all.
        end: Periods that begin at or after this moment are not wanted.
    """

    def __init__(  # noqa: PLR0913 - exports and reports, and the window of both
        self,
        exports: tuple[Export, ...],
        layout: AzureLayout,
        reports: Callable[[], ReportLayout],
        cost_scopes: tuple[str, ...],
        subscriptions: Callable[[], Iterable[str]],
        *,
        start: str | None,
        end: datetime,
    ) -> None:
        super().__init__(exports, _Layouts(layout, reports), start=start, end=end)
        self._configured = exports
        self._exported = layout
        self._reports = reports
        self._cost_scopes = cost_scopes
        self._subscriptions = subscriptions
        self._complete = False
        self._unknown: OffGridFlowError | None = None

    def of_types(self, types: frozenset[str]) -> tuple[Export, ...]:
        """The exports of these types, reports included."""
        if not self._complete and types & _REPORTS:
            self._complete = True
            self.exports += tuple(self._reports().export(scope) for scope in self._scopes())
        return super().of_types(types)

    def manifests(self, export: Export) -> list[Manifest]:
        """The newest manifest of each wanted period of an export, oldest period first.

        Raises:
            OffGridFlowError: It is not known which reports there should be.
        """
        if self._unknown and export.type in _REPORTS:
            raise self._unknown
        return super().manifests(export)

    def _scopes(self) -> list[str]:
        """The scopes to have reports of; where they are not known, one whose reading says why."""
        try:
            return list(self._uncovered())
        except OffGridFlowError as error:
            self._unknown = error
            return ["subscriptions/unknown"]

    def _uncovered(self) -> Iterator[str]:
        """The scopes that no export covers."""
        for scope in self._cost_scopes or self._each_subscription():
            if not _WITH_REPORTS.fullmatch(scope):
                _LOGGER.info("no cost details reports exist of %s", scope)
            elif any(f"{scope.lower()}/".startswith(f"{covered}/") for covered in self._covered if covered):
                _LOGGER.info("no cost details report of %s: an export covers it", scope)
            else:
                yield scope

    def _each_subscription(self) -> Iterator[str]:
        if not all(_SUBSCRIPTION.fullmatch(scope) for scope in self._covered):
            _LOGGER.info("no cost details reports: exports may cover all; cost_scopes asks for some")
            return
        yield from (f"subscriptions/{one}" for one in self._subscriptions())

    @cached_property
    def _covered(self) -> set[str]:
        """The scopes that exports cover, in lower case; an empty one for an export that does not tell.

        Raises:
            OffGridFlowError: An export cannot be listed, so that what it covers would count twice.
        """
        covered: set[str] = set()
        for export in self._configured:
            try:
                covered |= self._exported.scopes(export) or {""}
            except OffGridFlowError:
                _LOGGER.warning("no cost details reports: '%s' may cover their scopes", export.name)
                raise
        return covered


class _Layouts:
    """The layout of exports, and that of reports."""

    def __init__(self, exports: AzureLayout, reports: Callable[[], ReportLayout]) -> None:
        self._exports = exports
        self._reports = reports

    def manifests(self, export: Export) -> Iterator[Manifest]:
        return self._of(export).manifests(export)

    def open(self, manifest: Manifest) -> Delivery:
        return self._of(manifest.export).open(manifest)

    def is_known_newest(self, manifest: Manifest) -> bool:
        return self._of(manifest.export).is_known_newest(manifest)

    def _of(self, export: Export) -> AzureLayout | ReportLayout:
        return self._reports() if export.type in _REPORTS else self._exports
