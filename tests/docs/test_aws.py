"""The guide of AWS: policies that allow what the code calls, and an export that AWS would take."""

from __future__ import annotations

import json
import re
from typing import Any

import botocore.session
import botocore.validate

from tap_offgridflow_aws.activities.usage import USAGE_SOURCES
from tap_offgridflow_aws.error_codes import ACTIONS
from tests.docs.documents import AWS, blocks


def _policies() -> list[dict[str, Any]]:
    return [content for content in map(json.loads, blocks(AWS.guide, "json")) if "Statement" in content]


def _actions(policy: dict[str, Any]) -> set[str]:
    actions = [statement["Action"] for statement in policy["Statement"]]
    return {name for action in actions for name in ([action] if isinstance(action, str) else action)}


def test_the_policies_allow_what_the_code_calls_and_the_readers_no_more() -> None:
    needed = set(re.findall(r"\b[a-z0-9-]+:[A-Z]\w+", " ".join(ACTIONS.values())))
    (reader,) = (policy for policy in _policies() if "s3:ListBucket" in _actions(policy))
    others = {action for policy in _policies() if policy is not reader for action in _actions(policy)}
    assert _actions(reader) <= needed <= _actions(reader) | others
    assert not any("Put" in action for action in _actions(reader))


def test_the_example_export_is_one_that_aws_would_take() -> None:
    (export,) = (content for content in map(json.loads, blocks(AWS.guide, "json")) if "DataQuery" in content)
    model = botocore.session.get_session().get_service_model("bcm-data-exports")
    shape = model.operation_model("CreateExport").input_shape
    assert not botocore.validate.ParamValidator().validate({"Export": export}, shape).has_errors()
    output = model.shape_for("S3OutputConfigurations").members
    for name, value in export["DestinationConfigurations"]["S3Destination"]["S3OutputConfigurations"].items():
        assert value in output[name].enum
    statement = export["DataQuery"]["QueryStatement"]
    query = re.fullmatch(r"SELECT ([\w, ]+) FROM COST_AND_USAGE_REPORT", statement)
    assert query
    columns = set(query[1].split(", "))
    assert columns <= {column.name for column in AWS.streams["cost_and_usage"].columns}
    # Of a map, one member may be all that is needed; what is only there with an option is not in the query.
    wanted = {name.partition(".")[0] for name in USAGE_SOURCES["cur2"].columns}
    assert wanted - columns == {"split_line_item_parent_resource_id"}
    options = export["DataQuery"]["TableConfigurations"]["COST_AND_USAGE_REPORT"]
    assert options["INCLUDE_SPLIT_COST_ALLOCATION_DATA"] == "FALSE"
