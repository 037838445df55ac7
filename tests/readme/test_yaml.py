"""The YAML of the README means what it says: entries save and load, credentials and settings are read."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars
import pytest
import yaml
from kedro.io import DataCatalog

from kedro_statisfactory.backends.lakefs.credentials import lakefs_configuration
from kedro_statisfactory.backends.s3.credentials import s3_configuration
from kedro_statisfactory.plugin.cli import abort as abort_run
from kedro_statisfactory.plugin.cli import finish
from kedro_statisfactory.project.settings import Settings, parse_settings
from tests.readme.blocks import below
from tests.servers.lakefs import LakeFSServer
from tests.servers.s3 import S3Server

_OF_ENTRIES = (
    "kedro-statisfactory",
    "Use it in my project",
    "Move an entry from disk to S3",
    "Keep versions of an entry",
    "Save partitions",
    "Save folders",
    "Let engines go to the data",
    "Save in chunks",
    "Write to several repositories",
)
CLAIMED = {
    **{(heading, "yaml"): "test_entries_save_and_load" for heading in _OF_ENTRIES},
    ("Name the credentials", "yaml"): "test_credentials_are_read",
    ("Run in CI", "yaml"): "test_settings_are_read",
    ("Make one run of many processes", "yaml"): "test_argo_runs_what_the_shell_runs",
}
FRAME = pd.DataFrame({"a": [1, 2]})
DATA: dict[str, Any] = {
    "companies": FRAME,
    "model": {"any": "object"},
    "raw_blob": b"bytes",
    "days": {"2026/11/26": FRAME},
    "names": "a line\n",
    "orders": FRAME,
    "events": polars.DataFrame({"a": [1, 2]}),
}


def read(heading: str) -> dict[str, Any]:
    """All YAML of a section, as one mapping."""
    return {key: value for block in below(heading, "yaml") for key, value in yaml.safe_load(block.text).items()}


def moved(bucket: str, new_repository: Callable[[], str]) -> Callable[[str], str]:
    """Puts a bucket and repositories of a test in the places of those that the README names."""
    repositories: dict[str, str] = {}

    def of_test(found: re.Match[str]) -> str:
        if found[1] == "s3":
            return f"s3://{bucket}/"
        if found[2] not in repositories:
            repositories[found[2]] = new_repository()
        return f"lakefs://{repositories[found[2]]}/"

    return lambda url: re.sub(r"^(s3|lakefs)://(\w+)/", of_test, url)


@pytest.mark.parametrize("heading", _OF_ENTRIES)
def test_entries_save_and_load(
    heading: str, seaweed: S3Server, bucket: str, lakefs_local: LakeFSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**lakefs_local.environment, **seaweed.environment}.items():
        monkeypatch.setenv(name, value)
    place = moved(bucket, lakefs_local.new_repository)
    entries = read(heading)
    for entry in entries.values():
        where = "path" if "path" in entry else "filepath"
        entry[where] = place(entry[where])
    catalog = DataCatalog.from_config(entries, {"object_store": seaweed.credentials}, save_version="2026-11-26T00.00")
    for name in entries:
        catalog.save(name, DATA[name])
        found = catalog.load(name)
        if name == "days":
            found = {key: load() for key, load in found.items()}
            pd.testing.assert_frame_equal(found.pop("2026/11/26")[["a"]], FRAME)
            assert found == {}
        elif isinstance(DATA[name], pd.DataFrame):
            pd.testing.assert_frame_equal(found, DATA[name])
        elif isinstance(found, polars.LazyFrame):
            assert found.collect().equals(DATA[name])
        else:
            assert found == DATA[name]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_credentials_are_read() -> None:
    given = read("Name the credentials")
    found = s3_configuration(given["object_store"])
    assert found.client["endpoint_url"] == "https://s3.example.org"
    assert found.config == {
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    assert lakefs_configuration(given["lakefs_server"]).host == "https://lakefs.example.org/api/v1"


def test_settings_are_read() -> None:
    found = parse_settings(read("Run in CI"))
    assert found == dataclasses.replace(Settings(), branch="production", source="main")


def test_argo_runs_what_the_shell_runs() -> None:
    spec = read("Make one run of many processes")["spec"]
    templates = {template["name"]: template for template in spec["templates"]}

    def commands(name: str) -> list[str]:
        steps = [step for group in templates[name]["steps"] for step in group]
        assert {step["template"] for step in steps} == {"command"}
        return [step["arguments"]["parameters"][0]["value"] for step in steps]

    text = below("Make one run of many processes", "bash")[0].text
    shell = [line.removesuffix(' "$STATISFACTORY_RUN_ID"') for line in text.splitlines()]
    assert commands(spec["entrypoint"]) == shell[1:4]
    assert commands(spec["onExit"]) == [shell[3].replace("run finish", "run abort")]
    ((abort,),) = templates[spec["onExit"]]["steps"]
    assert abort["when"] == "{{workflow.status}} != Succeeded"
    container = templates["command"]["container"]
    assert container["command"] == ["sh", "-c", "{{inputs.parameters.command}}"]
    for command in (finish, abort_run):
        (run_id,) = (each for each in command.params if each.name == "run_id")
        assert run_id.envvar == "STATISFACTORY_RUN_ID", "the id is not given otherwise"
    assert container["env"] == [{"name": "STATISFACTORY_RUN_ID", "value": "{{workflow.uid}}"}]
