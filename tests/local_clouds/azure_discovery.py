"""The discovery part of the Azure Resource Manager stand-in: subscriptions, and management groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tests.local_clouds.azure_arm import Route
from tests.local_clouds.azure_errors import arm_error
from tests.local_clouds.azure_messages import Reply, Request
from tests.local_clouds.azure_pages import Pages
from tests.local_clouds.entra import TENANT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Both ways in which the type of a subscription below a management group is spelled.
SUBSCRIPTION_TYPES = ("/subscriptions", "Microsoft.Management/managementGroups/subscriptions")
_GROUPS = "/providers/Microsoft.Management/managementGroups"


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription."""

    id: str
    name: str
    state: str = "Enabled"
    tags: Mapping[str, str] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        """As the list of subscriptions has it."""
        policies = {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "EnterpriseAgreement_2014-09-01",
            "spendingLimit": "Off",
        }
        return {
            "id": f"/subscriptions/{self.id}",
            "authorizationSource": "RoleBased",
            "managedByTenants": [],
            **({"tags": dict(self.tags)} if self.tags else {}),
            "subscriptionId": self.id,
            "tenantId": TENANT,
            "displayName": self.name,
            "state": self.state,
            "subscriptionPolicies": policies,
        }


@dataclass(slots=True)
class ManagementGroup:
    """One group: `children` are ids of subscriptions and other groups."""

    id: str
    children: list[str | ManagementGroup] = field(default_factory=list)


class Discovery:
    """Operations `subscriptions` and `descendants`.

    Attributes:
        subscriptions: Those on which the caller has some role.
        groups: Management groups, each with all that is below it.
        page_size: The most entries of a page.
        subscription_types: How descendants that are subscriptions are typed, in turn.
    """

    def __init__(self) -> None:
        self.subscriptions: list[Subscription] = []
        self.groups: list[ManagementGroup] = []
        self.page_size = 100
        self.subscription_types: tuple[str, ...] = SUBSCRIPTION_TYPES
        self._pages = Pages()

    def routes(self) -> Iterable[Route]:
        action = "Microsoft.Resources/subscriptions/read"
        yield Route("subscriptions", "GET", "/subscriptions", action, self._list_subscriptions)
        action = "Microsoft.Management/managementGroups/descendants/read"
        path = f"{_GROUPS}/(?P<group>[^/]+)/descendants".replace(".", r"\.")
        yield Route("descendants", "GET", path, action, self._list_descendants)

    def _list_subscriptions(self, request: Request, _: object) -> Reply:
        return self._page(request, [subscription.described() for subscription in self.subscriptions])

    def _list_descendants(self, request: Request, groups: Mapping[str, str]) -> Reply:
        found = next(
            (group for group in _all(self.groups) if group.id.lower() == groups["group"].lower()), None
        )
        if found is None:
            message = f"'{_GROUPS}/{groups['group']}' not found"
            return arm_error(404, "NotFound", message)
        return self._page(request, self._descendants(found))

    def _descendants(self, group: ManagementGroup) -> list[dict[str, Any]]:
        entries = []
        for child in group.children:
            parent = {"id": f"{_GROUPS}/{group.id}"}
            if isinstance(child, ManagementGroup):
                entries.append(
                    _entry(f"{_GROUPS}/{child.id}", _GROUPS[len("/providers/") :], child.id, parent)
                )
                entries += self._descendants(child)
            else:
                kind = self.subscription_types[len(entries) % len(self.subscription_types)]
                entries.append(_entry(f"/subscriptions/{child}", kind, child, parent))
        return entries

    def _page(self, request: Request, entries: list[dict[str, Any]]) -> Reply:
        token = request.query.get("$skiptoken")
        size = min(int(request.query.get("$top", self.page_size)), self.page_size)
        rows, token = self._pages.page(request.path.lower(), token, size, lambda: entries)
        if token is None:
            return Reply(body={"value": rows})
        query = urlencode({"api-version": request.query["api-version"], "$skiptoken": token}, safe="$")
        return Reply(body={"value": rows, "nextLink": f"{request.origin}{request.path}?{query}"})


def _entry(identity: str, kind: str, name: str, parent: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": identity,
        "type": kind,
        "name": name,
        "properties": {"displayName": f"Display of {name}", "parent": dict(parent)},
    }


def _all(groups: Iterable[str | ManagementGroup]) -> Iterable[ManagementGroup]:
    for group in groups:
        if isinstance(group, ManagementGroup):
            yield group
            yield from _all(group.children)
