"""What is wrong is named with the way to mend it, and no secret is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.errors import PermissionDenied
from kedro_statisfactory.runs import health
from kedro_statisfactory.session import Session
from tests.runs.conftest import KedroProject
from tests.runs.test_history import answer
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.once

_CANARY = "canary-0123456789-secret"


def test_all_is_well_and_nothing_is_left_behind(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{_CANARY}@127.0.0.1:9")
    before = (project.branches(), project.tags())
    told = {each["what"]: each for each in answer(project, "doctor")}
    for what in ("settings", "git", "data branch", "server", "clock", "large objects", f"{project.repository}: tag"):
        assert told[what]["good"], told[what]
    assert "set by HTTPS_PROXY" in told["proxy"]["told"]
    assert (project.branches(), project.tags()) == before
    shown = project.invoke("doctor")
    assert (shown.exit_code, _CANARY in shown.output) == (0, False)


def test_what_is_wrong_is_told_without_secrets(
    project: KedroProject, seaweed: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours = "kedro_statisfactory.ArtifactDataset"
    s3 = {"endpoint_url": seaweed.endpoint_url, "aws_access_key_id": "nobody", "aws_secret_access_key": _CANARY}
    keys = {"endpoint_url": project.server.endpoint_url, "access_key_id": "AKIANOBODY", "secret_access_key": _CANARY}
    catalog = {
        "option": {"type": ours, "filepath": "s3://bucket/x", "save_args": {"Wrong": 1}},
        "format": {"type": ours, "filepath": "x", "dataset": "no.SuchDataset"},
        "bucket": {"type": ours, "filepath": "s3://no-such-bucket/x", "credentials": "s3"},
        "keys": {"type": ours, "filepath": f"lakefs://{project.repository}/x", "credentials": "lake"},
    }
    (project.path / "conf/base/catalog.yml").write_text(yaml.safe_dump(catalog))
    (project.path / "conf/base/credentials.yml").write_text(yaml.safe_dump({"s3": s3, "lake": keys}))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "no-such-file"))
    done = project.invoke("doctor", "--json")
    assert done.exit_code == 1, done.output
    assert _CANARY not in done.output
    wrong = {each["what"] for each in json.loads(done.stdout) if not each["good"]}
    assert {"entry option", "entry format", "bucket no-such-bucket", "certificates"} <= wrong, done.output
    assert f"{project.repository}: read" in wrong
    project.settings(mode="odd")
    done = project.invoke("doctor")
    assert (done.exit_code, "choose one of" in " ".join(done.output.split())) == (1, True), done.output


def test_a_right_that_is_missing_ends_the_look(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionDenied("these keys may not do this")

    monkeypatch.setattr(LakeFSAPI, "create_tag", refuse)
    found = list(health.of_repository((project.backend, project.repository)))
    assert [each.is_good for each in found] == [True, True, True, True, False]
    before = project.branches()
    monkeypatch.undo()
    monkeypatch.setattr(LakeFSAPI, "delete_tag", refuse)
    assert all(each.is_good for each in health.of_repository((project.backend, project.repository)))
    assert project.branches() == before, "the branch goes though the tag stays"
    monkeypatch.setattr(LakeFSAPI, "server", lambda _: ("1.2.3", True, "no time"))
    (server, way) = health.of_server(project.backend)
    assert (server.is_good, "1.66 is needed" in server.told, "signed" in way.told) == (False, True, True)
    monkeypatch.setattr(LakeFSAPI, "server", lambda _: ("1.84.0", True, "Thu, 01 Jan 2015 00:00:00 GMT"))
    assert not list(health.of_server(project.backend))[-1].is_good


def test_an_entry_that_cannot_be_made_and_one_whose_keys_cannot_be_read_are_named(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, seaweed: S3Server
) -> None:
    client = s3_client(Session(seaweed.credentials))
    client.create_bucket(Bucket="doctors-bucket")
    ours = "kedro_statisfactory.ArtifactDataset"
    catalog = {
        "bad": {"type": ours, "filepath": "nowhere://x/y"},
        "lake": {"type": ours, "filepath": f"lakefs://{project.repository}/x"},
        "bucket": {"type": ours, "filepath": "s3://doctors-bucket/x", "credentials": "s3"},
        "same": {"type": ours, "filepath": "s3://doctors-bucket/x", "credentials": "s3"},
        "strange": {"type": ours, "filepath": "s3://doctors-bucket/x", "credentials": "other"},
    }
    (project.path / "conf/base/catalog.yml").write_text(yaml.safe_dump(catalog))
    keys = {"s3": dict(seaweed.credentials), "other": {**seaweed.credentials, "aws_secret_access_key": "another"}}
    (project.path / "conf/base/credentials.yml").write_text(yaml.safe_dump(keys))
    monkeypatch.delenv("LAKECTL_SERVER_ENDPOINT_URL")
    done = project.invoke("doctor", "--json")
    found = json.loads(done.stdout)
    told = {each["what"]: each for each in found[::-1]}
    looked_at = {each["what"]: each["good"] for each in found if each["what"].startswith("bucket ")}
    assert looked_at == {"bucket doctors-bucket": True, "bucket doctors-bucket, by the keys of strange": False}
    assert (told["entry bad"]["good"], told["entry lake"]["good"]) == (False, False), done.output
    assert "there is nothing at /x" in told["bucket doctors-bucket"]["told"]
