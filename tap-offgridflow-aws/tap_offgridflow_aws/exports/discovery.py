"""Finding the exports that an account has, for users who do not list them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from offgridflow_common.errors import BadRequestError, NotFoundError, PermissionDenied
from offgridflow_common.settings import same_name_errors
from tap_offgridflow_aws.exports.buckets import open_export
from tap_offgridflow_aws.settings import ExportSetting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from logging import Logger

    from offgridflow_common.exports.delivery import Export
    from tap_offgridflow_aws.client import AwsClient

#: The table that a data export's query reads tells its type; FOCUS tables carry a version.
_TYPES = (
    (re.compile(r"COST_AND_USAGE_REPORT"), "cur2"),
    (re.compile(r"FOCUS_\d+_\d+(_AWS)?"), "focus"),
    (re.compile(r"CARBON_EMISSIONS"), "carbon"),
)
_FROM = re.compile(r"\bFROM\s+\"?(\w+)", re.IGNORECASE)


def discover_exports(
    client: AwsClient, listed: Sequence[ExportSetting], logger: Logger
) -> tuple[ExportSetting, ...]:
    """What the account exports beside what is listed; each is logged with its type and place.

    Exports of other tables, such as recommendations, are logged and left out, and so are new ones of which
    nothing was delivered yet. What is listed with the same place, or name and type, is the same export.

    Raises:
        BadRequestError: Exports of one name cannot be told apart.
    """
    places = {export.url for export in listed}
    names = {(export.name, export.type) for export in listed}
    found = [
        (export, delivered)
        for export, delivered in (*_data_exports(client, logger), *_legacy_reports(client))
        if export.url not in places and (export.name, export.type) not in names
    ]
    exports = _named_apart(_delivered(found, client, logger), listed)
    for export in exports:
        logger.info("found export '%s' of type %s at %s", export.name, export.type, export.url)
    if not exports and not listed:
        logger.warning("discover_exports found no export of cost, usage or carbon in this account")
    return exports


def _named_apart(
    found: Sequence[ExportSetting], listed: Sequence[ExportSetting]
) -> tuple[ExportSetting, ...]:
    """Where two have one name, such as a report and its successor, one of them tells its type.

    What had the name first keeps it, because state goes by it: what is listed, then reports, whose time is
    over, before data exports.
    """
    listed_names = {export.name for export in listed}
    names_of_reports = {export.name for export in found if export.type == "cur"}

    def is_taken(export: ExportSetting) -> bool:
        return export.name in listed_names or (export.type != "cur" and export.name in names_of_reports)

    apart = tuple(
        replace(export, name=f"{export.name}-{export.type}") if is_taken(export) else export
        for export in found
    )
    if problems := same_name_errors((*listed, *apart)):
        raise BadRequestError(
            asked="naming the exports of this account",
            got="; ".join(problems),
            do="list one of them in `exports` with its place and a `name` of its own",
        )
    return apart


def _delivered(
    found: Iterable[tuple[ExportSetting, bool]], client: AwsClient, logger: Logger
) -> list[ExportSetting]:
    """Those of which something was delivered, as the service knows or as their place shows.

    What never was delivered, because its bucket is gone or closed, keeps no other export from being read.
    """
    exports = []
    for export, delivered in found:
        try:
            if delivered or _holds_anything(open_export(lambda: client, export)):
                exports.append(export)
            else:
                logger.warning(
                    "export '%s' has delivered nothing to %s yet: left out", export.name, export.url
                )
        except (NotFoundError, PermissionDenied) as error:
            logger.warning(
                "export '%s' has delivered nothing yet, as far as AWS knows: left out; looking at its place "
                "failed: %s",
                export.name,
                error,
            )
    return exports


def _holds_anything(export: Export) -> bool:
    # Folders that are made in the console are objects of no bytes.
    return any(info.size for info in export.store.list(f"{export.prefix}/"))


def _data_exports(client: AwsClient, logger: Logger) -> Iterator[tuple[ExportSetting, bool]]:
    """Each export of cost or carbon, and whether the service knows of a delivery."""
    references = client.entries("bcm-data-exports", "ListExports", "listing data exports", "Exports")
    for reference in references:
        try:
            export = _definition(client, reference["ExportName"], reference["ExportArn"])
        except NotFoundError:
            logger.warning("export '%s' was deleted just now: left out", reference["ExportName"])
            continue
        kind = _type(export["DataQuery"]["QueryStatement"])
        if kind is None:
            logger.info("export '%s' holds neither cost nor carbon: left out", export["Name"])
            continue
        place = export["DestinationConfigurations"]["S3Destination"]
        setting = _setting(export["Name"], kind, place["S3Bucket"], place["S3Prefix"])
        yield setting, "LastRefreshedAt" in reference["ExportStatus"]


def _definition(client: AwsClient, name: str, arn: str) -> dict[str, Any]:
    asked = f"reading the definition of export {name}"
    answer = client.attempt(
        "bcm-data-exports", "GetExport", asked, lambda api: api.get_export(ExportArn=arn), member="Export"
    )
    export: dict[str, Any] = answer["Export"]
    return export


def _legacy_reports(client: AwsClient) -> Iterator[tuple[ExportSetting, bool]]:
    """Each report, and whether the service knows of a delivery."""
    # No MaxResults: the service accepts 5 and nothing else.
    asked = "listing cost and usage reports"
    for report in client.entries("cur", "DescribeReportDefinitions", asked, "ReportDefinitions"):
        setting = _setting(report["ReportName"], "cur", report["S3Bucket"], report["S3Prefix"])
        yield setting, "lastDelivery" in report.get("ReportStatus", {})


def _type(query: str) -> str | None:
    # The word may also stand in the key of a tag.
    tables = [match[1].upper() for match in _FROM.finditer(query)]
    return next((kind for table in tables for pattern, kind in _TYPES if pattern.fullmatch(table)), None)


def _setting(name: str, kind: str, bucket: str, prefix: str) -> ExportSetting:
    return ExportSetting(name=name, type=kind, url=f"s3://{bucket}/{prefix}/{name}")
