"""Which queries the Cost Management stand-in accepts, and what their filters and periods mean."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from tests.local_clouds.azure_errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.local_clouds.azure_cost_query import Cost

_METRICS = ("Usage", "ActualCost", "AmortizedCost")
_GRANULARITIES = ("Daily", "Monthly", "None", None)
_MEASURES = ("Cost", "PreTaxCost", "CostUSD", "UsageQuantity")
_MOST_DAYS = 366
_PAIR = 2


def check_query(body: Any) -> None:
    """Raise `Refused` where a body is none that the interface describes."""
    if not isinstance(body, dict) or not isinstance(body.get("dataset"), dict):
        raise _invalid("Dataset is invalid or not supplied.")
    if body.get("type") not in _METRICS:
        raise _invalid(f"type must be one of {', '.join(_METRICS)}.")
    if body.get("timeframe") != "Custom":
        raise _invalid("only the timeframe Custom is known here.")
    data = body["dataset"]
    if data.get("granularity") not in _GRANULARITIES:
        raise _invalid("granularity must be Daily, Monthly or None.")
    _check_aggregation(data.get("aggregation"))
    _check_grouping(data.get("grouping", []))
    if "filter" in data:
        _check_filter(data["filter"])


def _check_aggregation(aggregation: Any) -> None:
    if not isinstance(aggregation, dict) or not 1 <= len(aggregation) <= _PAIR:
        raise _invalid("aggregation must hold one or two columns.")
    for entry in aggregation.values():
        if entry.get("function") != "Sum" or entry.get("name") not in _MEASURES:
            raise _invalid("an aggregation must be the Sum of a known column.")


def _check_grouping(grouping: Any) -> None:
    if not isinstance(grouping, list) or len(grouping) > _PAIR:
        raise _invalid("grouping must hold at most two columns.")
    for entry in grouping:
        if entry.get("type") not in ("Dimension", "TagKey") or not entry.get("name"):
            raise _invalid("a grouping must name a Dimension or a TagKey.")


def _check_filter(condition: Any) -> None:
    if not isinstance(condition, dict) or len(condition) != 1:
        raise _invalid("a filter must be one condition.")
    ((kind, content),) = condition.items()
    if kind in ("and", "or"):
        if not isinstance(content, list) or len(content) < _PAIR:
            raise _invalid(f"'{kind}' must hold at least two conditions.")
        for child in content:
            _check_filter(child)
    elif kind not in ("dimensions", "tags") or content.get("operator") != "In" or not content.get("values"):
        raise _invalid("a condition must be of dimensions or tags, with the operator In and values.")


def passes(cost: Cost, condition: Mapping[str, Any] | None) -> bool:
    """Whether a cost is within a filter that was checked."""
    if condition is None:
        return True
    ((kind, content),) = condition.items()
    if kind in ("and", "or"):
        return (all if kind == "and" else any)(passes(cost, child) for child in content)
    name = content["name"]
    value = cost.tags.get(name, "") if kind == "tags" else cost.dimension(name)
    return value.lower() in {allowed.lower() for allowed in content["values"]}


def period(body: Mapping[str, Any]) -> tuple[date, date]:
    """First and last day of a query; raises `Refused` where they are wrong or too far apart."""
    asked = body.get("timePeriod") or {}
    try:
        start, end = (_day(asked[edge]) for edge in ("from", "to"))
    except (KeyError, TypeError, ValueError):
        raise _invalid("timePeriod must have the times from and to.") from None
    if start > end:
        raise _invalid("from must not be after to.")
    if (end - start).days >= _MOST_DAYS:
        raise bad_request("The time period for pulling the data cannot exceed 1 year(s).")
    return start, end


def _day(text: str) -> date:
    moment = datetime.fromisoformat(text)
    return (moment.astimezone(UTC) if moment.tzinfo else moment).date()


def _invalid(message: str) -> Exception:
    return bad_request(
        f"Invalid query definition, {message} (Request ID: 00000000-0000-0000-0000-000000000000)"
    )
