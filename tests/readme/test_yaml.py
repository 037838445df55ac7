"""The YAML of the README means what it says: entries save and load, credentials and settings are read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog

from kedro_statisfactory.backends.lakefs.credentials import lakefs_configuration
from kedro_statisfactory.backends.s3.credentials import s3_configuration
from kedro_statisfactory.project.settings import Settings, parse_settings
from tests.readme.blocks import below
from tests.servers.lakefs import LakeFSServer
from tests.servers.s3 import S3Server

CLAIMED = {
    ("kedro-statisfactory", "yaml"): "test_entries_save_and_load",
    ("Use it in my project", "yaml"): "test_entries_save_and_load",
    ("Save in several files, in folders, in chunks", "yaml"): "test_entries_save_and_load",
    ("Name the credentials", "yaml"): "test_credentials_are_read",
    ("Run in CI", "yaml"): "test_settings_are_read",
    ("Make one run of many processes", "yaml"): "test_argo_sets_the_variable",
}
FRAME = pd.DataFrame({"a": [1, 2]})
DATA: dict[str, Any] = {
    "companies": FRAME,
    "model": {"any": "object"},
    "raw_blob": b"bytes",
    "days": {"2026/11/26": FRAME},
    "log": "a line\n",
}


def read(heading: str) -> dict[str, Any]:
    """All YAML of a section, as one mapping."""
    return {key: value for block in below(heading, "yaml") for key, value in yaml.safe_load(block.text).items()}


@pytest.mark.parametrize("heading", [heading for (heading, _), test in CLAIMED.items() if "entries" in test])
def test_entries_save_and_load(
    heading: str, seaweed: S3Server, bucket: str, lakefs_local: LakeFSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in lakefs_local.environment.items():
        monkeypatch.setenv(name, value)
    repository = lakefs_local.new_repository()
    entries = read(heading)
    for entry in entries.values():
        where = "path" if "path" in entry else "filepath"
        entry[where] = entry[where].replace("s3://models/", f"s3://{bucket}/")
        entry[where] = entry[where].replace("lakefs://analytics/", f"lakefs://{repository}/")
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


def test_argo_sets_the_variable() -> None:
    (variable,) = read("Make one run of many processes")["env"]
    assert variable == {"name": "STATISFACTORY_RUN_ID", "value": "{{workflow.uid}}"}
