"""No secret gets into a commit, however it is spelt, and what is none is told."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import yaml
from kedro.framework.session import KedroServiceSession
from kedro.framework.startup import bootstrap_project
from kedro.io import AbstractDataset

from kedro_statisfactory.runs import provenance
from kedro_statisfactory.runs.redaction import has_secret, without_tokens
from tests.runs.commits import input_told, metadata_of, with_input
from tests.runs.conftest import KedroProject

pytestmark = pytest.mark.once


class Signed(AbstractDataset[None, dict[str, int]]):
    """Keeps its URL as the datasets of kedro-datasets do: without the protocol."""

    def __init__(self, filepath: str) -> None:
        self._protocol, _, self._filepath = filepath.partition("://")

    def _load(self) -> dict[str, int]:
        return {"n": 5}

    def _save(self, data: None) -> None: ...

    def _describe(self) -> dict[str, str]:
        return {}


def test_urls_of_inputs_are_told_without_passwords_and_signatures(project: KedroProject) -> None:
    with_input(
        project, type="tests.runs.test_secrets.Signed", filepath="https://me:hunter2@example.org/x.csv?sig=hunter2"
    )
    project.run(1)
    assert input_told(project) == {"url": "https://example.org/x.csv"}


def test_secrets_never_get_into_a_commit(project: KedroProject) -> None:
    project.run(
        1,
        db={"password": "hunter2", "url": "postgresql://me:hunter2@host/db", "names": ["x"]},
        api_token="hunter2",
        sas="hunter2",
        session={"Cookie": "hunter2", "pwd": ["hunter2"], "conn_str": "hunter2"},
        text="Server=x;Password=hunter2;Encrypt=yes",
        signed="https://example.org/x?sig=hunter2",
        odd="redis://:p/w@hunter2@host/0",
        author="Horst",
        plain=f"the key is {project.server.secret_key}",
        group_key="species",
    )
    file = project.path / "conf/base/catalog.yml"
    catalog = yaml.safe_load(file.read_text())
    assert "hunter2" not in json.dumps(metadata_of(project))
    assert json.loads(metadata_of(project)["kedro_runtime_params"])["author"] == "Horst"
    for entry in catalog.values():
        entry["credentials"] = "lake"
    file.write_text(yaml.safe_dump(catalog))
    (project.path / "conf/local/credentials.yml").write_text(yaml.safe_dump({"lake": project.server.credentials}))
    project.run(1, plain=f"the key is {project.server.secret_key}", group_key="species")
    found = metadata_of(project)
    assert project.server.secret_key not in json.dumps(found)
    assert json.loads(found["kedro_runtime_params"])["group_key"] == "species"


class Odd:
    """What is no text and has one."""

    def __repr__(self) -> str:
        return "Odd(password='hunter2')"


@pytest.mark.parametrize(
    "parameters",
    [
        {name: "hunter2"}
        for name in (
            "account_key storage_key encryption-key ssh_key license_key key keys jwt bearer pat db_pw otp webhook_url "
            "apiKey AWS_SECRET private_pem cookie creds signature account_key1 storage_primary_key"
        ).split()
    ]
    + [
        {"text": "Authorization: Bearer hunter2"},
        {"text": "password: hunter2"},
        {"text": '{"password": "hunter2"}'},
        {"text": b"password=hunter2"},
        {"text": "me:hunter2@host/db"},
        {"text": "https://hooks.example.org/services/hunter2"},
        {"text": 'PASSWORD="correct horse hunter2"'},
        {"text": "me:p@hunter2@host/x"},
        {"text": "me:p/hunter2@host"},
        {"text": "x" * 3000 + "password=hunter2"},
        {"long": "a line\n" * 500 + "password=hunter2"},
        {"object": Odd()},
        {"command": ["-p", "hunter2"]},
        {"command": ["--password", "hunter2", "--rows", "7"]},
        {"variables": [{"name": "DB_PASSWORD", "value": "hunter2"}]},
    ],
    ids=str,
)
def test_no_spelling_of_a_secret_gets_into_a_commit(parameters: dict[str, Any]) -> None:
    found = provenance.of_run({"run_id": "x", "runtime_params": {"deep": [parameters], **parameters}}, {})
    assert "hunter2" not in json.dumps(found)


SECRETS = {
    "GitHub": "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"[:36],
    "GitHub of an app": "gho_" + "a1B2" * 9,
    "GitHub, fine-grained": "github_pat_" + "11AAAAAAA0" * 3 + "_" + "a1B2" * 10,
    "GitLab": "glpat-" + "a1B2" * 5,
    "AWS": "AKIA" + "IOSFODNN7EXAMPLE",
    "AWS, for a while": "ASIA" + "IOSFODNN7EXAMPLE",
    "OpenAI": "sk-" + "a1B2" * 12,
    "OpenAI, of a project": "sk-proj-" + "a1B2" * 12 + "-_x",
    "Anthropic": "sk-ant-api03-" + "a1B2" * 20,
    "DeepSeek": "sk-" + "0123456789abcdef" * 2,
    "Stripe": "sk_live_" + "a1B2" * 6,
    "Slack": "xoxb-" + "123456789012-" + "a1B2" * 6,
    "Google": "AIza" + "a1B2c" * 7,
    "Hugging Face": "hf_" + "aBcD" * 9,
    "npm": "npm_" + "a1B2" * 9,
    "PyPI": "pypi-" + "AgEIcHlwaS5vcmc" * 4,
    "Databricks": "dapi" + "0123456789abcdef" * 2,
    "SendGrid": "SG." + "a1B2" * 5 + "." + "c3D4" * 10,
    "age": "AGE-SECRET-KEY-1" + "QQPZ" * 14,
    "JWT": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0." + "a1B2-_" * 6,
    "private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE" + "a1B2" * 20 + "\n-----END RSA PRIVATE KEY-----",
    "half a private key": "-----BEGIN PRIVATE KEY-----\nMIIE" + "a1B2" * 20,
    "SAS": "sv=2022-11-02&ss=b&sig=" + "a1B2" * 10 + "%3D",
    "signed URL": "https://b.s3.amazonaws.com/x?X-Amz-Credential=AKIA&X-Amz-Signature=" + "a1B2" * 16,
    "URL": "https://me:a1B2a1B2@host/x",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS.keys())
def test_a_secret_is_known_by_its_form_under_any_name(secret: str) -> None:
    parameters = {"note": f"see {secret}", "deep": [{"x": [secret]}], secret: 1, "long": "line\n" * 1000 + secret}
    told = provenance.of_run({"run_id": "x", "runtime_params": parameters}, parameters)
    assert told["kedro_parameters"] == told["kedro_runtime_params"]
    assert not any(
        piece in json.dumps(told) for piece in ("a1B2a1B2", "IOSFODNN7", "0123456789abcdef", "QQPZ", "aBcDaBcD")
    )
    assert "AgEIcHlwaS5vcmcAgEI" not in json.dumps(told)
    assert "16C7e42F" not in json.dumps(told)


def test_what_only_looks_like_a_secret_is_told() -> None:
    plain = [
        hashlib.sha256(b"x").hexdigest(),
        f"sha256:{hashlib.sha256(b'x').hexdigest()}",
        hashlib.md5(b"x").hexdigest(),
        "2f1c7d52-9d5f-4c3b-8a58-0f6b5a1f6a11",
        "sk-learn",
        "sk-learn-contrib-2024-experiment-results",
        "task-a1B2a1B2a1B2a1B2a1B2",
        "AKIA is a prefix, and AKIAEXAMPLE none of a key",
        "xox is no token",
        "the ghp_ of GitHub",
        "eyJ is how a JWT begins",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        "s3://bucket/path/to/data.csv",
        "SELECT a\nFROM b\n" * 300,
    ]
    told = provenance.of_run({"run_id": "x", "runtime_params": {"plain": plain}}, {})
    assert json.loads(told["kedro_runtime_params"]) == {"plain": plain}


def test_tags_and_urls_are_told_without_secrets(project: KedroProject) -> None:
    bootstrap_project(project.path)
    secret = SECRETS["GitHub"]
    with_input(project, type="kedro_statisfactory.ArtifactDataset", filepath=f"data/{secret}.bin")
    (project.path / "data").mkdir()
    (project.path / f"data/{secret}.bin").write_bytes(b"{}")
    KedroServiceSession.create(project_path=project.path).run(
        run_id="mine", node_names=["first"], runtime_params={"x": secret}
    )
    assert secret not in json.dumps(metadata_of(project))
    assert without_tokens(f"third://me:pw@host/{secret}") == "third://<redacted>@host/<redacted>"
    assert has_secret("x://me:pw@host")
    assert not has_secret("x://{me}:{pw}@host, x://$ME:$PW@host, http://host:80/a@b")


def test_no_text_keeps_a_run_waiting() -> None:
    begin = "-----BEGIN PRIVATE KEY-----"
    for text in (
        begin * 5_000,
        "sk-" + "a-" * 20_000,
        "sk-" * 20_000,
        "eyJ" * 20_000,
        "a-" * 20_000,
        "-".join(["0123abcd"] * 5_000),
        "?" * 50_000,
        "://" * 20_000,
    ):
        provenance.of_run({"run_id": "x", "runtime_params": {"text": text}}, {})


def test_what_is_no_secret_is_told() -> None:
    plain = {
        "primary_key": "id",
        "author": "Horst",
        "command": ["--rows", 7, True],
        "variables": [{"name": "ROWS", "value": 7}],
        "ratio": 0.5,
        "text": "a plain word: and another",
        "url": "https://example.org/x.csv",
    }
    found = provenance.of_run({"run_id": "x", "runtime_params": plain}, {})
    assert json.loads(found["kedro_runtime_params"]) == plain
