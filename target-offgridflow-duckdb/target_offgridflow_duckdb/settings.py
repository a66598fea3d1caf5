"""The settings of the DuckDB target: their JSON schema, and the frozen form that is made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from singer_sdk import typing as th
from singer_sdk.helpers.capabilities import TargetLoadMethods

from offgridflow_common.settings import raise_config_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: The rows that DuckDB keeps together: whole groups are written once, parts of them again and again.
ROW_GROUP: Final = 122_880

#: What the SDK adds to these: `process_activate_version_messages`, `batch_config`, stream maps, flattening.
CONFIG_SCHEMA: dict[str, Any] = th.PropertiesList(
    th.Property(
        "path",
        th.StringType(min_length=1),
        required=True,
        description="The DuckDB file, which is made if it is not there, or `md:` and the name of a database "
        "in MotherDuck. Only one process at a time can write to a file.",
    ),
    th.Property(
        "token",
        th.StringType,
        secret=True,
        description="Signs in to MotherDuck. Default: the variable `motherduck_token` of the environment.",
    ),
    th.Property(
        "default_target_schema",
        th.StringType,
        description="Schema of all tables. Default: the first part of streams named `schema-table`, and "
        "`main` for others.",
    ),
    th.Property(
        "add_record_metadata",
        th.BooleanType,
        default=False,
        description="Add the SDK's columns `_sdc_*`: when a row was extracted, received and deleted, and in "
        "which version of its table.",
    ),
    th.Property(
        "load_method",
        th.StringType,
        default=TargetLoadMethods.UPSERT.value,
        allowed_values=[method.value for method in TargetLoadMethods],
        description="`upsert` replaces rows with the same key, and appends to tables without a key. "
        "`append-only` always appends. `overwrite` empties a stream's table when a run begins with it.",
    ),
    th.Property(
        "hard_delete",
        th.BooleanType,
        default=False,
        description="Delete rows whose record has `_sdc_deleted_at`, and rows of earlier versions of a "
        "table, instead of marking them; needs `add_record_metadata`.",
    ),
    th.Property(
        "batch_size_rows",
        th.IntegerType(minimum=1, maximum=10_000_000),
        default=ROW_GROUP,
        description=f"Rows that are committed together. Multiples of {ROW_GROUP}, the rows of DuckDB's row "
        "groups, take the least time.",
    ),
    th.Property(
        "memory_limit",
        th.StringType(pattern=r"^\d+(\.\d+)? ?[KMGT]i?B$"),
        examples=["2GB"],
        description="How much memory DuckDB may use, such as `2GB`; tables of many columns need much. "
        "Default: DuckDB's own, four fifths of the machine's.",
    ),
    th.Property(
        "validate_records",
        th.BooleanType,
        default=False,
        description="Check each record against the whole JSON schema of its stream, which makes loading "
        "many times slower. The types of values are always checked.",
    ),
).to_dict()


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """Where to load, and how; each is described in :data:`CONFIG_SCHEMA`."""

    path: str = field(repr=False)
    token: str | None = field(repr=False)
    default_target_schema: str | None
    add_record_metadata: bool
    load_method: TargetLoadMethods
    hard_delete: bool
    memory_limit: str | None


def parse(config: Mapping[str, Any], wrong: Iterable[str]) -> TargetSettings:
    """Make settings of a configuration that fits the schema.

    Args:
        config: The configuration, with defaults.
        wrong: What is known to be wrong with it.

    Raises:
        ConfigValidationError: All that is wrong.
    """
    path = config["path"]
    # State would speak of rows that are gone with the run.
    in_memory = path.startswith(":memory:")
    nowhere = f"'path' must name a file or a database of MotherDuck, which stay, not {path}"
    raise_config_errors([*wrong, *([nowhere] if in_memory else [])])
    return TargetSettings(
        path=path,
        token=config.get("token"),
        default_target_schema=config.get("default_target_schema"),
        add_record_metadata=config["add_record_metadata"],
        load_method=TargetLoadMethods(config["load_method"]),
        hard_delete=config["hard_delete"],
        memory_limit=config.get("memory_limit"),
    )
