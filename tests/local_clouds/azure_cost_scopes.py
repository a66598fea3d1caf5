"""Scopes of cost: which subscriptions, and which resource group, a path of Cost Management is about."""

from __future__ import annotations

import re

from tests.local_clouds.azure_errors import arm_error, subscription_not_found
from tests.local_clouds.azure_messages import Refused

_SUBSCRIPTION = re.compile(r"subscriptions/(?P<id>[^/]+)(/resourcegroups/(?P<group>[^/]+))?")


class CostScopes:
    """What the stand-in knows of scopes.

    Attributes:
        subscriptions: Ids, in lower case.
        wider: Other scopes, in lower case and without a slash at the ends, with the subscriptions they hold;
            such as `providers/microsoft.billing/billingaccounts/12345`.
    """

    def __init__(self) -> None:
        self.subscriptions: set[str] = set()
        self.wider: dict[str, set[str]] = {}

    def resolve(self, scope: str) -> tuple[set[str], str | None]:
        """The subscriptions of a scope, and the resource group in lower case if it is one.

        Raises:
            Refused: If there is no such scope.
        """
        scope = scope.lower()
        if scope in self.wider:
            return self.wider[scope], None
        found = _SUBSCRIPTION.fullmatch(scope)
        if not found:
            raise Refused(arm_error(404, "NotFound", f"The scope '{scope}' could not be found."))
        if found["id"] not in self.subscriptions:
            raise Refused(subscription_not_found(found["id"]))
        return {found["id"]}, found["group"]
