"""What S3, the disk or a setting refuses: which error each gives, and that nothing is lost by it."""

from __future__ import annotations

import json
import re
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.aws.bench import EXPORT, HEADER, LINE, PERIOD
from tests.aws.driving import EXPORT_STREAMS
from tests.aws.repair import BROKEN, GOOD, fails, repaired, three_months
from tests.local_clouds.aws import LocalAws
from tests.local_clouds.s3_proxy import ACCESS_DENIED, CLOCK_SKEW, EXPIRED_TOKEN, Fault, redirect_to

if TYPE_CHECKING:
    from pathlib import Path

    from tests.aws.bench import Bench

LISTING, MANIFEST, DATA = "", f"*{BROKEN}*-Manifest.json", f"*/data/*{BROKEN}*"


@pytest.mark.parametrize(
    ("fault", "asked", "parts"),
    [
        (ACCESS_DENIED, LISTING, ["AccessDenied", "allow s3:ListBucket", "class=auth"]),
        (ACCESS_DENIED, MANIFEST, ["AccessDenied", "allow s3:GetObject", "class=auth"]),
        (ACCESS_DENIED, DATA, ["AccessDenied", "allow s3:GetObject", "kms:Decrypt", "s3:ListBucket"]),
        (redirect_to("eu-west-1"), LISTING, ["PermanentRedirect", "aws_default_region", "class=bad_request"]),
        (redirect_to("eu-west-1"), DATA, ["PermanentRedirect", "aws_default_region", "class=bad_request"]),
        (EXPIRED_TOKEN, LISTING, ["ExpiredToken", "renew the session token", "class=auth"]),
        (EXPIRED_TOKEN, DATA, ["ExpiredToken", "aws_assume_role_arn", "class=auth"]),
        (CLOCK_SKEW, LISTING, ["RequestTimeTooSkewed", "set the clock of this machine", "class=auth"]),
        (CLOCK_SKEW, MANIFEST, ["RequestTimeTooSkewed", "set the clock of this machine", "class=auth"]),
        (
            Fault(status=403, code="InvalidObjectState", message="Archived"),
            DATA,
            ["InvalidObjectState", "restore the object", "class=bad_request"],
        ),
        (
            Fault(status=403, code="InvalidAccessKeyId", message="No such key id."),
            LISTING,
            ["InvalidAccessKeyId", "check aws_access_key_id", "class=auth"],
        ),
    ],
    ids=lambda value: value.code if isinstance(value, Fault) else None,
)
def test_what_s3_refuses_is_explained_and_asked_for_once(
    bench: Bench, fault: Fault, asked: str, parts: list[str]
) -> None:
    three_months(bench)
    bench.aws.proxy.inject(fault, asked, times=100)
    run = bench.run()
    fails(run, *parts, bench.bucket)
    refused = [request for request in bench.aws.proxy.requests if request.status == fault.status]
    # botocore follows a redirection by itself, once; one stream more may ask for a listing.
    assert len(refused) <= (4 if fault.status == 301 else 2)
    if asked == LISTING:
        assert run.records() == run.records("deliveries") == []
        bench.aws.proxy.clear_faults()
        assert len(bench.read(run.state).records()) == 51
    else:
        repaired(bench, run)


def test_a_bucket_that_does_not_exist_is_named(bench: Bench) -> None:
    name = LocalAws.bucket_name("no-such-bucket")
    run = bench.run(config=bench.config(exports=[{"type": "cur2", "url": f"s3://{name}/exports/{EXPORT}"}]))
    fails(run, name, "NoSuchBucket", "check the bucket in the export's url", "class=not_found")


@pytest.mark.parametrize("order", [1, -1])
def test_an_export_that_cannot_be_read_keeps_no_other_from_being_read(bench: Bench, order: int) -> None:
    bench.publish(GOOD, 5)
    gone = {"name": "gone", "type": "cur2", "url": f"s3://{LocalAws.bucket_name()}/exports/{EXPORT}"}
    exports = [gone, {"name": "here", "type": "cur2", "url": bench.url}][::order]
    run = bench.run(config=bench.config(exports=exports))
    fails(run, "NoSuchBucket", "class=not_found")
    assert len(run.records()) == 5
    assert [row["export_name"] for row in run.records("deliveries")] == ["here"]
    again = bench.run(run.state, config=bench.config(exports=exports))
    assert again.exit_code == 1
    assert again.records() == again.records("deliveries") == []


def test_a_place_without_an_export_is_named(bench: Bench) -> None:
    bench.publish(GOOD, 5)
    run = bench.run(config=bench.config(exports=[{"type": "cur2", "url": f"{bench.url}-typo"}]))
    fails(run, f"{bench.url}-typo", "check the bucket, the prefix", "class=not_found")


@pytest.mark.parametrize(
    "streams", [EXPORT_STREAMS, ("carbon_emissions", "cost_and_usage", "water_allocation")]
)
def test_the_other_streams_still_run(bench: Bench, streams: tuple[str, ...]) -> None:
    bench.aws.proxy.inject(ACCESS_DENIED, LISTING, times=100)
    run = bench.run(select=streams)
    assert run.exit_code == 1
    begun = re.findall(r"Beginning sync of '(\w+)'", run.stderr)
    assert sorted(begun) == sorted(streams)
    failed = re.search(r"(\d) of (\d) streams failed: (.*?)\.", run.stderr)
    assert failed
    readers = [name for name in streams if name in EXPORT_STREAMS]
    assert (int(failed[1]), int(failed[2])) == (len(readers), len(streams))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"start_date": "01/09/2026"}, "start_date must be a date like 2025-01-01"),
        ({"end_date": "2026-13-01"}, "end_date must be a date like 2025-01-01"),
        ({"start_date": "2026-11-01", "end_date": "2026-10-01"}, "start_date must be before end_date"),
        ({"start_dat": "2026-01-01"}, "unknown setting 'start_dat': did you mean 'start_date'?"),
        ({"aws_acces_key": "x"}, "unknown setting 'aws_acces_key': did you mean 'aws_access_key_id'?"),
        ({"spool_dir": "/no/such/folder"}, "spool_dir must be an existing folder, got '/no/such/folder'"),
        ({"spool_max_bytes": 10}, "spool_max_bytes"),
        ({"exports": [{"type": "cur3", "url": "s3://b/x/y"}]}, "cur3"),
        ({"exports": [{"type": "cur2", "url": "https://b/x/y"}]}, "s3://bucket/prefix/export-name"),
        ({"exports": [{"type": "cur2", "url": "s3://bucket-only"}]}, "s3://bucket/prefix/export-name"),
        ({"exports": [{"type": "cur2", "url": "s3://b/x/y"}] * 2}, "set their `name`"),
        ({"exports": [{"type": "cur2", "url": "s3://b/x/y", "nme": "x"}]}, "nme"),
    ],
)
def test_a_setting_that_is_wrong_is_named_before_anything_is_asked(
    bench: Bench, settings: dict[str, Any], said: str
) -> None:
    run = bench.run(config=bench.config(**settings))
    assert run.exit_code == 1
    assert said in run.stderr
    assert run.stdout == b""
    assert [request for request in bench.aws.proxy.requests if request.method == "GET"] == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"start_date": "01/09/2026"}, "start_date must be a date like 2025-01-01"),
        ({"org": "x"}, "unknown setting 'org': did you mean 'org_id'?"),
    ],
)
def test_a_wrong_setting_ends_the_command_without_a_traceback(
    bench: Bench, settings: dict[str, Any], said: str
) -> None:
    run = bench.run(config=bench.config(**settings), as_process=True)
    assert run.exit_code == 1
    assert run.stdout == b""
    assert said in run.stderr
    assert "Traceback" not in run.stderr


def test_a_failed_stream_ends_the_command_with_a_nonzero_exit_code(bench: Bench) -> None:
    three_months(bench)
    bench.aws.proxy.inject(ACCESS_DENIED, DATA, times=9)
    run = bench.run(as_process=True)
    fails(run, "allow s3:GetObject", "class=auth")
    repaired(bench, run)


def test_a_spool_folder_that_cannot_be_written_to_is_named(
    bench: Bench, spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused by hand: tests may run as a user to whom no folder is closed."""
    bench.publish(GOOD, 5)

    def refuse(**_: object) -> str:
        raise PermissionError(13, "Permission denied", str(spool_dir))

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    run = bench.run()
    fails(run, str(spool_dir), "spool_dir")
    assert run.records() == run.records("deliveries") == []


def test_a_disk_that_is_full_is_a_fatal_error_that_names_the_setting(
    bench: Bench, spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.publish(GOOD, 5)
    path_type = type(spool_dir)
    really = path_type.open

    def full(self: Path, mode: str = "r", *arguments: Any) -> Any:
        if mode == "wb" and self.is_relative_to(spool_dir):
            raise OSError(28, "No space left on device")
        return really(self, mode, *arguments)

    monkeypatch.setattr(path_type, "open", full)
    run = bench.run()
    fails(run, "No space left on device", "spool_dir", "class=fatal")
    assert list(spool_dir.iterdir()) == []


@pytest.mark.parametrize("where", ["s3", "file"])
def test_credentials_are_needed_for_buckets_only(bench: Bench, tmp_path: Path, where: str) -> None:
    config = bench.config()
    for name in ("aws_access_key_id", "aws_secret_access_key"):
        del config[name]
    if where == "s3":
        bench.publish(GOOD, 5)
        fails(bench.run(config=config), "class=auth", "check aws_access_key_id")
        return
    folder = tmp_path / EXPORT
    data = f"data/BILLING_PERIOD={PERIOD}/x.csv"
    manifest = {"executionId": "x", "dataFiles": [f"s3://elsewhere/{EXPORT}/{data}"]}
    for name, content in {
        data: f"{HEADER}\n{LINE}\n",
        f"metadata/BILLING_PERIOD={PERIOD}/Manifest.json": json.dumps(manifest),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    config["exports"] = [{"type": "cur2", "url": folder.as_uri()}]
    assert len(bench.read(config=config).records()) == 1
