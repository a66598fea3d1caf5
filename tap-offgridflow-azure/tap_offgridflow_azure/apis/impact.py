"""What Cloud for Sustainability reports, and how its rows become columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from offgridflow_common.columns import Column, Kind
from offgridflow_common.pagination import Page
from tap_offgridflow_azure.apis.fields import UNASSIGNED, Fields
from tap_offgridflow_azure.apis.pages import distinct_pages, numbered, unnumbered_schema

if TYPE_CHECKING:
    from datetime import datetime

    from offgridflow_common.months import Period
    from offgridflow_common.regions import RegionMapper
    from tap_offgridflow_azure.client import AzureClient
    from tap_offgridflow_azure.settings import AzureSettings

#: Names the report in activities and in their state.
SOURCE = "azure_emissions_impact"

UNIT = "mtCO2e"

#: Emissions go so far back.
MONTHS_BACK = 60

#: What tells the rows of a month apart, as far as it does.
KEY = ("enrollment_id", "subscription_id", "azure_service_name", "sub_service", "azure_region_name", "scope")

COLUMNS = (
    Column("period_start", Kind.TIMESTAMP, "Inclusive.", required=True),
    Column("period_end", Kind.TIMESTAMP, "Exclusive.", required=True),
    Column("enrollment_id", Kind.STRING, "Billing account.", required=True),
    Column("subscription_id", Kind.STRING, "In lower case; `unassigned` if there is none.", required=True),
    Column("azure_service_name", Kind.STRING, "As reported; `Unassigned` if there is none.", required=True),
    Column("sub_service", Kind.STRING, "As reported; `Unassigned` if there is none.", required=True),
    Column("azure_region_name", Kind.STRING, "As reported; `Unassigned` if there is none.", required=True),
    Column("scope", Kind.STRING, "`Scope 1`, `Scope 2` or `Scope 3`.", required=True),
    Column("item_number", Kind.INTEGER, "1; counts on where rows share all of the above.", required=True),
    Column("scope_id", Kind.INTEGER, "1, 2 or 3."),
    Column("org_name", Kind.STRING, "As reported."),
    Column("subscription_name", Kind.STRING, "As reported."),
    Column("region", Kind.STRING, "Region id, such as `eastus`; null if it is unknown."),
    Column("total_emissions", Kind.NUMBER, f"In {UNIT}: metric tons."),
    Column("emissions_unit", Kind.STRING, f"`{UNIT}`."),
    Column("extra", Kind.STRING_MAP, "Fields that this version does not know, as text."),
    Column("retrieved_at", Kind.TIMESTAMP, "When it was read.", required=True),
)
_SCHEMA = unnumbered_schema(COLUMNS)

#: Pages are parted by number of rows, so the rows need an order that does not change meanwhile.
_ORDER = "subscriptionId,azureServiceName,subService,azureRegionName,scopeId"


class ImpactReports:
    """Emissions of a billing account by month, subscription, service, region and scope.

    Args:
        client: Asks Cloud for Sustainability.
        settings: Names the instance and the billing account.
        regions: Finds regions by their names.
        retrieved_at: When the run began.
    """

    def __init__(
        self, client: AzureClient, settings: AzureSettings, regions: RegionMapper, retrieved_at: datetime
    ) -> None:
        self._client = client
        self._regions = regions
        self._retrieved_at = retrieved_at
        self._path = (
            f"instances/{settings.impact_instance_id}/enrollments/{settings.impact_enrollment_id}/emissions"
        )

    def emissions(self, month: Period) -> pl.DataFrame:
        """The rows of a month as :data:`COLUMNS`; none, if it is not published.

        Raises:
            ContractBroken: The answer is of other months, or cannot be understood; the message says why.
        """
        params = {"$filter": f"dateKey eq {month.start:%Y%m%d}", "$orderby": _ORDER}

        def fetch(link: str | None) -> Page[object]:
            answer = self._client.impact.request(
                "GET", link or self._path, params=None if link else params, about=month.label
            )
            content = Fields(answer.json(), answer.asked)
            return Page(items=content.rows("value"), next_token=content.text("@odata.nextLink"))

        asked = f"emissions of {month.label}"
        pages = distinct_pages(self._client.pager, fetch, asked)
        rows = (self._row(Fields(row, asked), month) for page in pages for row in page)
        return numbered(pl.DataFrame(rows, schema=_SCHEMA), KEY, COLUMNS)

    def _row(self, row: Fields, month: Period) -> dict[str, Any]:
        key = row.key("dateKey")
        if key[:6] != f"{month.start:%Y%m}":
            raise row.broken(f"a row of {key}")
        place = row.text("azureRegionName") or UNASSIGNED
        region = self._regions.lookup(place)
        return {
            "period_start": month.start,
            "period_end": month.end,
            "enrollment_id": row.key("enrollmentId"),
            "subscription_id": (row.text("subscriptionId") or UNASSIGNED).lower(),
            "azure_service_name": row.text("azureServiceName") or UNASSIGNED,
            "sub_service": row.text("subService") or UNASSIGNED,
            "azure_region_name": place,
            "scope": row.key("scope"),
            "scope_id": row.number("scopeId"),
            "org_name": row.text("orgName"),
            "subscription_name": row.text("subscriptionName"),
            "region": region and region.region_id,
            "total_emissions": row.number("totalEmissions"),
            "emissions_unit": UNIT,
            "extra": row.extra(),
            "retrieved_at": self._retrieved_at,
        }
