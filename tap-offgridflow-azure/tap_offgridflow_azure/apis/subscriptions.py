"""Subscriptions: those that the settings name, those below a management group, or all that can be seen."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote

import polars as pl

from offgridflow_common.columns import Column, Kind, polars_schema
from offgridflow_common.errors import NotFoundError, OffGridFlowError, PermissionDenied
from offgridflow_common.pagination import Page
from tap_offgridflow_azure.apis.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from tap_offgridflow_azure.client import AzureClient
    from tap_offgridflow_azure.settings import AzureSettings

_LOGGER = logging.getLogger("tap-offgridflow-azure")

_SUBSCRIPTIONS_VERSION = "2022-12-01"
_GROUPS_VERSION = "2020-05-01"

#: How a descendant of a management group says that it is a subscription, in lower case.
_SUBSCRIPTION_TYPES = ("/subscriptions", "microsoft.management/managementgroups/subscriptions")

_ROLES = (
    "grant Reader or Cost Management Reader on the subscriptions, or name them in subscription_ids; "
    "Carbon Optimization Reader alone does not list them"
)

COLUMNS = (
    Column("subscription_id", Kind.STRING, "Subscription id, in lower case.", required=True),
    Column("display_name", Kind.STRING, "Its name; null if the tap may not see it."),
    Column("state", Kind.STRING, "`Enabled`, `Warned`, `PastDue`, `Disabled` or `Deleted`."),
    Column("tenant_id", Kind.STRING, "The directory that it trusts."),
    Column("authorization_source", Kind.STRING, "Where the access of the tap comes from."),
    Column("quota_id", Kind.STRING, "The kind of offer."),
    Column("spending_limit", Kind.STRING, "`On`, `Off` or `CurrentPeriodOff`."),
    Column("location_placement_id", Kind.STRING, "Which regions are on offer."),
    Column("managed_by_tenants", Kind.STRING, "Directories that manage it, separated by commas."),
    Column("management_group_id", Kind.STRING, "The group it is in; known below `management_group_id` only."),
    Column("tags", Kind.STRING_MAP, "Its tags."),
    Column("extra", Kind.STRING_MAP, "Fields that this version does not know, as text."),
    Column("retrieved_at", Kind.TIMESTAMP, "When it was read.", required=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A subscription, as far as it can be seen; the attributes are the :data:`COLUMNS` of the same names."""

    subscription_id: str
    display_name: str | None = None
    state: str | None = None
    tenant_id: str | None = None
    authorization_source: str | None = None
    quota_id: str | None = None
    spending_limit: str | None = None
    location_placement_id: str | None = None
    managed_by_tenants: str | None = None
    management_group_id: str | None = None
    tags: Mapping[str, str] | None = None
    extra: Mapping[str, str] | None = None

    @property
    def label(self) -> str:
        """Names it in messages."""
        return f"{self.display_name} ({self.subscription_id})" if self.display_name else self.subscription_id


class Subscriptions:
    """The subscriptions of a run; Azure is asked once, and only for what the settings do not say.

    Args:
        client: Asks Azure.
        settings: May name subscriptions or a management group.
    """

    def __init__(self, client: AzureClient, settings: AzureSettings) -> None:
        self._client = client
        self._named = settings.subscription_ids
        self._group = settings.management_group_id

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Their ids, in lower case.

        Raises:
            PermissionDenied: None can be seen.
            NotFoundError: There is no such management group, or none is below it.
        """
        return tuple(self._wanted)

    def all(self) -> tuple[Subscription, ...]:
        """All of them, each with what can be seen of it.

        Raises:
            PermissionDenied, NotFoundError: As for :attr:`ids`.
        """
        return tuple(self._known.values())

    def label(self, subscription_id: str) -> str:
        """Names a subscription in messages; by its id alone where its name cannot be had."""
        return self._labels.get(subscription_id, subscription_id)

    @cached_property
    def _labels(self) -> Mapping[str, str]:
        # A message is wanted where something went wrong: that names fail, too, must not take its place.
        try:
            return {name: known.label for name, known in self._known.items()}
        except OffGridFlowError as error:
            _LOGGER.info("the names of subscriptions stay unknown: %s", error)
            return {}

    @cached_property
    def _wanted(self) -> Mapping[str, Subscription]:
        if self._named:
            return {name: Subscription(subscription_id=name) for name in self._named}
        return self._below_group(self._group) if self._group else self._visible_ones()

    @cached_property
    def _known(self) -> Mapping[str, Subscription]:
        if not (self._named or self._group):
            return self._wanted
        visible: Mapping[str, Subscription] = {}
        try:
            visible = self._listed
        except PermissionDenied as error:
            _LOGGER.info("the names and states of subscriptions stay unknown: %s", error)
        return {
            name: replace(visible[name], management_group_id=known.management_group_id)
            if name in visible
            else known
            for name, known in self._wanted.items()
        }

    def _visible_ones(self) -> Mapping[str, Subscription]:
        if not self._listed:
            raise PermissionDenied(
                asked="listing subscriptions", got="an empty list: no role on any subscription", do=_ROLES
            )
        return self._listed

    @cached_property
    def _listed(self) -> Mapping[str, Subscription]:
        entries = self._entries("subscriptions", _SUBSCRIPTIONS_VERSION)
        return {one.subscription_id: one for one in map(_described, entries)}

    def _below_group(self, group: str) -> Mapping[str, Subscription]:
        path = f"providers/Microsoft.Management/managementGroups/{quote(group, safe='')}/descendants"
        entries = self._entries(path, _GROUPS_VERSION)
        found = [_descendant(entry) for entry in entries if _is_subscription(entry)]
        if not found:
            raise NotFoundError(
                asked=f"listing the subscriptions below the management group {group}",
                got="none",
                do="check management_group_id: it is the id of the group, not its display name",
            )
        return {one.subscription_id: one for one in found}

    def _entries(self, path: str, version: str) -> Iterator[Fields]:
        """The entries of a list of Azure Resource Manager, page by page."""

        def fetch(link: str | None) -> Page[Fields]:
            params = None if link else {"api-version": version}
            answer = self._client.arm.request("GET", link or path, params=params)
            content = Fields(answer.json(), answer.asked)
            entries = [Fields(entry, answer.asked) for entry in content.rows("value")]
            return Page(items=entries, next_token=content.text("nextLink"))

        for page in self._client.pager.pages(fetch):
            yield from page.items


def frame(subscriptions: tuple[Subscription, ...], retrieved_at: datetime) -> pl.DataFrame:
    """Subscriptions as rows of :data:`COLUMNS`."""
    rows = [{**asdict(one), "retrieved_at": retrieved_at} for one in subscriptions]
    return pl.DataFrame(rows, schema=polars_schema(COLUMNS))


def _described(entry: Fields) -> Subscription:
    """An entry of the list of subscriptions; its ``id`` says the same as its ``subscriptionId``."""
    entry.text("id")
    policies = entry.object("subscriptionPolicies")
    managers = [manager.text("tenantId") for manager in entry.objects("managedByTenants")]
    return Subscription(
        subscription_id=entry.key("subscriptionId").lower(),
        display_name=entry.text("displayName"),
        state=entry.text("state"),
        tenant_id=entry.text("tenantId"),
        authorization_source=entry.text("authorizationSource"),
        quota_id=policies.text("quotaId"),
        spending_limit=policies.text("spendingLimit"),
        location_placement_id=policies.text("locationPlacementId"),
        managed_by_tenants=",".join(filter(None, managers)) or None,
        tags=entry.texts("tags"),
        extra=entry.extra(),
    )


def _is_subscription(entry: Fields) -> bool:
    return entry.key("type").lower() in _SUBSCRIPTION_TYPES


def _descendant(entry: Fields) -> Subscription:
    properties = entry.object("properties")
    parent = properties.object("parent").text("id")
    return Subscription(
        subscription_id=entry.key("name").lower(),
        display_name=properties.text("displayName"),
        management_group_id=parent and parent.rpartition("/")[2],
    )
