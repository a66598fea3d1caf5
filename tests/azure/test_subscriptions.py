"""Subscriptions: those that can be seen, those below a management group, those that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.azure.answers import ONE, THREE, TWO
from tests.local_clouds.azure_discovery import ManagementGroup, Subscription
from tests.local_clouds.azure_errors import arm_error
from tests.local_clouds.entra import TENANT

if TYPE_CHECKING:
    from tests.azure.conftest import Config, RunTap
    from tests.driving import Run
    from tests.local_clouds.azure import LocalAzure

STREAM = "subscriptions"


@pytest.fixture(autouse=True)
def _known(azure: LocalAzure) -> None:
    azure.discovery.subscriptions = [
        Subscription(ONE, "Shop", tags={"env": "prod", "Team": "a"}),
        Subscription(TWO, "Lab", "Disabled"),
        Subscription(THREE, "Old", "Warned"),
    ]


def seen(run: Run) -> dict[str, tuple[str | None, str | None]]:
    """Name and state by id."""
    return {one["subscription_id"]: (one["display_name"], one["state"]) for one in run.records(STREAM)}


def test_all_that_can_be_seen_come_page_by_page_whatever_their_state(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    azure.discovery.page_size = 2
    run = run_tap(tap_config(), [STREAM])
    assert run.exit_code == 0
    assert seen(run) == {ONE: ("Shop", "Enabled"), TWO: ("Lab", "Disabled"), THREE: ("Old", "Warned")}
    assert run.records(STREAM)[0] | {"retrieved_at": None} == {
        "subscription_id": ONE,
        "display_name": "Shop",
        "state": "Enabled",
        "tenant_id": TENANT,
        "authorization_source": "RoleBased",
        "quota_id": "EnterpriseAgreement_2014-09-01",
        "spending_limit": "Off",
        "location_placement_id": "Public_2014-09-01",
        "managed_by_tenants": None,
        "management_group_id": None,
        "tags": {"env": "prod", "Team": "a"},
        "extra": None,
        "retrieved_at": None,
    }
    assert len(azure.arm.asked("subscriptions")) == 2


def test_each_run_reads_the_whole_table(azure: LocalAzure, tap_config: Config, run_tap: RunTap) -> None:
    first = run_tap(tap_config(), [STREAM])
    azure.discovery.subscriptions[0] = Subscription(ONE, "Renamed")
    second = run_tap(tap_config(), [STREAM], first.state)
    assert seen(second) == seen(first) | {ONE: ("Renamed", "Enabled")}


def test_ids_are_in_lower_case_and_what_is_not_known_yet_is_kept(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    def alter(answer: Any) -> None:
        answer["value"][0] |= {
            "subscriptionId": ONE.upper(),
            "managedByTenants": [{"tenantId": "one"}, {"tenantId": "two"}],
            "promotions": [{"category": "freetier"}],
        }

    azure.arm.alter("subscriptions", alter)
    (first, *_) = run_tap(tap_config(), [STREAM]).records(STREAM)
    assert first["subscription_id"] == ONE
    assert first["managed_by_tenants"] == "one,two"
    assert first["extra"] == {"promotions": '[{"category":"freetier"}]'}


def test_no_subscription_at_all_is_a_missing_role_not_an_empty_table(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    azure.discovery.subscriptions = []
    run = run_tap(tap_config(), [STREAM])
    assert run.exit_code == 1
    assert "subscriptions (auth)" in run.stderr
    assert "no role on any subscription" in run.stderr
    assert "subscription_ids" in run.stderr


def test_a_principal_that_may_not_list_them_is_told_which_role_it_lacks(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    azure.arm.forbid("subscriptions")
    run = run_tap(tap_config(), [STREAM])
    assert run.exit_code == 1
    assert "Reader on the subscriptions, or set subscription_ids" in run.stderr


class TestNamedOnes:
    """The settings name them: nothing needs to be listed."""

    def test_they_come_with_what_can_be_seen_of_them(self, tap_config: Config, run_tap: RunTap) -> None:
        unseen = "bbbbbbbb-0000-0000-0000-000000000009"
        run = run_tap(tap_config(subscription_ids=[TWO.upper(), unseen]), [STREAM])
        assert run.exit_code == 0
        assert seen(run) == {TWO: ("Lab", "Disabled"), unseen: (None, None)}

    def test_they_come_where_listing_is_denied(
        self, azure: LocalAzure, tap_config: Config, run_tap: RunTap
    ) -> None:
        azure.arm.forbid("subscriptions")
        run = run_tap(tap_config(subscription_ids=[ONE]), [STREAM])
        assert run.exit_code == 0
        assert seen(run) == {ONE: (None, None)}
        assert "names and states of subscriptions stay unknown" in run.stderr


class TestManagementGroup:
    """Those below a group, at all levels."""

    @pytest.fixture(autouse=True)
    def _groups(self, azure: LocalAzure) -> None:
        inner = ManagementGroup("inner", [TWO, ManagementGroup("innermost", [THREE.upper()])])
        azure.discovery.groups = [ManagementGroup("root", [ONE, inner]), ManagementGroup("empty", [])]
        azure.discovery.page_size = 2

    def test_all_levels_and_both_spellings_of_the_type_are_read(
        self, azure: LocalAzure, tap_config: Config, run_tap: RunTap
    ) -> None:
        azure.discovery.subscriptions.pop()
        run = run_tap(tap_config(management_group_id="Root"), [STREAM])
        assert run.exit_code == 0
        assert seen(run) == {
            ONE: ("Shop", "Enabled"),
            TWO: ("Lab", "Disabled"),
            THREE: (f"Display of {THREE.upper()}", None),
        }
        groups = [one["management_group_id"] for one in run.records(STREAM)]
        assert groups == ["root", "inner", "innermost"]

    def test_only_those_below_the_group_are_read(self, tap_config: Config, run_tap: RunTap) -> None:
        run = run_tap(tap_config(management_group_id="innermost"), [STREAM])
        assert list(seen(run)) == [THREE]

    @pytest.mark.parametrize(
        ("group", "named"),
        [
            ("empty", "below the management group empty: none"),
            ("nowhere", "nowhere' not found"),
            ("a/b", "a%2Fb"),
        ],
    )
    def test_a_group_without_subscriptions_is_an_error(
        self, group: str, named: str, tap_config: Config, run_tap: RunTap
    ) -> None:
        run = run_tap(tap_config(management_group_id=group), [STREAM])
        assert run.exit_code == 1
        assert "subscriptions (not_found)" in run.stderr
        assert named in run.stderr

    def test_who_may_not_read_the_group_is_told_which_role_is_missing(
        self, azure: LocalAzure, tap_config: Config, run_tap: RunTap
    ) -> None:
        azure.arm.forbid("descendants")
        run = run_tap(tap_config(management_group_id="root"), [STREAM])
        assert run.exit_code == 1
        assert "Management Group Reader" in run.stderr


def test_a_link_to_another_host_is_not_followed(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    elsewhere = "https://example.com/subscriptions?api-version=2022-12-01"
    azure.arm.alter("subscriptions", lambda answer: answer.update(nextLink=elsewhere))
    run = run_tap(tap_config(), [STREAM])
    assert run.exit_code == 1
    assert "it is not the origin that the credentials are for" in run.stderr
    assert not run.records(STREAM)


@pytest.mark.usefixtures("clock")
def test_listing_is_tried_again_where_that_can_help(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    azure.arm.fail_next(arm_error(500, "InternalError", "broken"), 2, operation="subscriptions")
    run = run_tap(tap_config(), [STREAM])
    assert run.exit_code == 0
    assert len(seen(run)) == 3
