"""What Spark is told of a place, and what is refused before it begins: without a Spark, which takes long to start."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import shutil
from types import SimpleNamespace
from typing import Any

import pytest
from kedro.io import AbstractDataset, DatasetError

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends.engines import S3Access
from kedro_statisfactory.datasets import hadoop
from kedro_statisfactory.datasets.denied import said_no
from kedro_statisfactory.errors import BackendUnreachable, InvalidFormat
from kedro_statisfactory.hidden import Hidden, HiddenText
from kedro_statisfactory.plugin.checks import refuse_unfit_formats
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.git import Head
from kedro_statisfactory.project.settings import Settings

SECRET = "do-not-tell-0123456789"
PLACE = S3Access(
    "lake",
    "run/x[1]",
    "lakefs://lake/x[1]",
    endpoint_url="http://lakefs.example.org:8000",
    access_key_id=Hidden("me"),
    secret_access_key=Hidden(SECRET),
    path_style=True,
)
IN_AWS = S3Access("bucket", "x", "s3://bucket/x", region="eu-west-1")


class Frames(AbstractDataset[Any, Any]):
    """Takes what Spark's classes take, and gives what it was given."""

    def __init__(self, filepath: str, load_args: Any = None, save_args: Any = None, file_format: str = "") -> None:
        self.given = (filepath, load_args, save_args)

    def _load(self) -> Any:
        return self.given

    def _save(self, data: Any) -> None:
        raise RuntimeError(f"cannot write with {dict(self.given[2])} and {list(self.given[2].values())}")

    def _describe(self) -> dict[str, Any]:
        return {"load_args": dict(self.given[1]), "save_args": {**self.given[2]}}


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bucket is known, there is a Java, and no session."""
    monkeypatch.setattr(hadoop, "BUCKETS", hadoop.Buckets())
    monkeypatch.setattr(hadoop, "active_spark", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda name, path=None: f"{path or '/usr/bin'}/{name}")
    for name in ("JAVA_HOME", "SPARK_REMOTE"):
        monkeypatch.delenv(name, raising=False)


def entry(url: str, dataset: Any = Frames, **more: Any) -> Any:
    """An entry whose engine goes by S3A."""
    return ArtifactDataset(filepath=url, dataset=dataset, **{"native": "hadoop", **more})


def session(*classes: str) -> Any:
    """A session of Spark that has these classes, as far as it is asked here."""

    def find(name: str, *_: Any) -> str:
        if name not in classes:
            raise RuntimeError("ClassNotFoundException")
        return name

    thread = SimpleNamespace(currentThread=lambda: SimpleNamespace(getContextClassLoader=lambda: None))
    java = SimpleNamespace(lang=SimpleNamespace(Class=SimpleNamespace(forName=find), Thread=thread))
    return SimpleNamespace(sparkContext=SimpleNamespace(_jvm=SimpleNamespace(java=java)))


def test_s3a_is_told_of_one_bucket_and_of_nothing_else() -> None:
    path, told = hadoop.in_hadoop(PLACE)
    assert path == "s3a://lake/run/x[1]"
    of_bucket = {name.removeprefix("fs.s3a.bucket.lake."): value for name, value in told.items()}
    assert of_bucket == {
        "endpoint": "http://lakefs.example.org:8000",
        "endpoint.region": "us-east-1",
        "path.style.access": "true",
        "connection.ssl.enabled": "false",
        "aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
        "access.key": "me",
        "secret.key": SECRET,
        "checksum.generation": "false",
        "fs.s3a.committer.name": "file",
        "__globPaths__": "false",
    }
    told = hadoop.in_hadoop(IN_AWS)[1]
    assert told["fs.s3a.bucket.bucket.aws.credentials.provider"].endswith(".AnonymousAWSCredentialsProvider")
    assert told["fs.s3a.bucket.bucket.endpoint"] == "", "what a session says of all buckets does not count"
    assert told["fs.s3a.bucket.bucket.connection.ssl.enabled"] == "true"
    lent = dataclasses.replace(PLACE, session_token=Hidden("token"), proxy=Hidden("http://me:p%40ss@proxy:3128"))
    told = hadoop.in_hadoop(lent)[1]
    assert told["fs.s3a.bucket.lake.aws.credentials.provider"].endswith(".TemporaryAWSCredentialsProvider")
    assert {name.rpartition(".")[2]: value for name, value in told.items() if ".proxy." in name} == {
        "host": "proxy",
        "port": "3128",
        "username": "me",
        "password": "p@ss",
    }
    assert {each.reveal() for each in hadoop.secrets_of(told)} == {"me", SECRET, "token", "p@ss"}
    told = hadoop.in_hadoop(dataclasses.replace(IN_AWS, proxy=Hidden("https://proxy")))[1]
    assert told["fs.s3a.bucket.bucket.proxy.port"] == "443"


def test_two_ways_into_one_bucket_are_refused_and_the_same_one_is_not() -> None:
    known = hadoop.Buckets()
    known.add(PLACE)
    tried = known.copy()
    tried.add(dataclasses.replace(PLACE, key="y", url="lakefs://lake/y"))
    tried.add(IN_AWS)
    with pytest.raises(InvalidFormat, match=r"'lake' is reached by other keys for 'lakefs://lake/x\[1\]'"):
        tried.add(dataclasses.replace(PLACE, access_key_id=Hidden("you")))
    with pytest.raises(InvalidFormat, match=r"'lake' is reached at http://lakefs\.example\.org:8000 for"):
        tried.add(dataclasses.replace(PLACE, endpoint_url=None))
    with pytest.raises(InvalidFormat, match="'bucket' is reached at AWS for"):
        tried.add(dataclasses.replace(PLACE, bucket="bucket"))
    known.add(dataclasses.replace(IN_AWS, endpoint_url="http://other.example.org"))  # the copy was only tried
    lent = dataclasses.replace(PLACE, bucket="lent", session_token=Hidden("one"))
    tried.add(lent)
    tried.add(dataclasses.replace(lent, access_key_id=Hidden("renewed"), session_token=Hidden("two")))


def test_a_pipeline_with_a_repository_and_a_bucket_of_one_name_is_refused(lakefs_local: Any, seaweed: Any) -> None:
    repository = lakefs_local.new_repository()
    one = entry(f"lakefs://{repository}/x", credentials=lakefs_local.credentials)
    two = entry(f"s3://{repository}/x", credentials=seaweed.credentials)
    refuse_unfit_formats({"one": [one]}, ())
    refuse_unfit_formats({"two": [two]}, ())
    with pytest.raises(DatasetError, match=rf"catalog entry 'two': .*'{repository}' is reached at .*rename one of the"):
        refuse_unfit_formats({"one": [one], "two": [two]}, ())
    refuse_unfit_formats({"two": [two]}, ())


def test_a_gateway_that_is_off_is_told_before_a_run(lakefs_local: Any) -> None:
    table = entry(f"lakefs://{lakefs_local.new_repository()}/x", credentials=lakefs_local.credentials)
    table.bind(Project(head=Head("main", None, "a test"), settings=Settings(gateway="http://127.0.0.1:1")))
    with pytest.raises(DatasetError, match=r"catalog entry 'x': .*gateway does not answer at http://127\.0\.0\.1:1"):
        refuse_unfit_formats({"x": [table]}, ())
    with pytest.raises(BackendUnreachable):
        table.check_engine(hadoop.Buckets())


def test_what_spark_needs_is_told_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    s3a, delta = hadoop._S3A_CLASS, hadoop._DELTA_CLASS

    def check(is_remote: bool = True, **args: Any) -> None:
        hadoop.refuse_unready("SparkDataset", args, is_remote)

    check()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "which", lambda name, path=None: None)
        with pytest.raises(InvalidFormat, match="SparkDataset needs Java for Spark"):
            check()
        patch.setenv("SPARK_REMOTE", "sc://elsewhere")
        check()
    with monkeypatch.context() as patch:
        patch.setenv("JAVA_HOME", "/opt/java")
        assert hadoop._java() == "/opt/java/bin/java"
        patch.setattr(importlib.util, "find_spec", lambda _: None)
        with pytest.raises(InvalidFormat, match="SparkDataset needs the package pyspark"):
            check()
    monkeypatch.setattr(hadoop, "active_spark", session)
    with pytest.raises(InvalidFormat, match=r"has not: org\.apache\.hadoop:hadoop-aws, in the version of Spark's own"):
        check()
    check(is_remote=False)
    monkeypatch.setattr(hadoop, "active_spark", lambda: session(s3a))
    check()
    with pytest.raises(InvalidFormat, match=r"has not: io\.delta:delta-spark"):
        check(file_format="delta")
    monkeypatch.setattr(hadoop, "active_spark", lambda: session(s3a, delta))
    check(file_format="delta")
    monkeypatch.setattr(hadoop, "active_spark", SimpleNamespace)  # that of Spark Connect has no context
    check()


def test_a_class_that_is_not_known_is_told_in_sparks_words_and_shows_no_secret(
    seaweed: Any, bucket: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = entry(f"s3://{bucket}/x", credentials=seaweed.credentials)
    table.backend.put(payload=b"x", fragment=table.location)
    logger = logging.getLogger("kedro.io.core")
    caplog.set_level("DEBUG", logger.name)
    monkeypatch.setattr(logger, "handlers", [*logger.handlers, caplog.handler])  # Kedro hands nothing on to the root
    given = {"load_args": {"header": True}, "save_args": {"mode": "append"}}
    chatty = entry(f"s3://{bucket}/x", {"type": Frames, **given}, credentials=seaweed.credentials)
    path, load_args, save_args = chatty.load()
    assert path == f"s3a://{bucket}/x"
    assert (load_args["header"], save_args["mode"]) == (True, "append")
    assert load_args[f"fs.s3a.bucket.{bucket}.secret.key"] == seaweed.secret_key
    with pytest.raises(DatasetError, match="cannot write with") as error:
        chatty.save(1)
    assert "Frames" in caplog.text
    for text in (caplog.text, str(error.value), repr(chatty), str(load_args)):
        assert seaweed.secret_key not in text
    assert repr(HiddenText("do not tell")[:6]) == "<redacted>"


def test_a_jar_that_is_found_missing_when_spark_has_begun_is_named(
    seaweed: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Frames):
        def _load(self) -> Any:
            monkeypatch.setattr(hadoop, "active_spark", session)
            raise RuntimeError("ClassNotFoundException")

    table = entry(f"s3://{bucket}/x", Failing, credentials=seaweed.credentials)
    table.backend.put(payload=b"x", fragment=table.location)
    with pytest.raises(DatasetError, match=r"Failing needs a jar .*hadoop-aws"):
        table.load()


def test_what_would_be_removed_before_it_is_read_stays(seaweed: Any, bucket: str) -> None:
    table = entry(f"s3://{bucket}/x/y", credentials=seaweed.credentials)
    table.backend.put(payload=b"old", fragment=table.location)
    rereading = SimpleNamespace(inputFiles=lambda: [f"s3a://{bucket}/x/y"])
    with pytest.raises(DatasetError, match="is read, when it is written, from what it would replace"):
        table.save(rereading)
    assert table.backend.get(fragment=table.location) == b"old"
    with pytest.raises(DatasetError, match="cannot write with"):
        table.save(SimpleNamespace(inputFiles=lambda: [f"s3a://{bucket}/x/yz", "file:///x"]))


def test_classes_that_spark_cannot_be_told_of_are_refused() -> None:
    class Silent(AbstractDataset[Any, Any]):
        def __init__(self, filepath: str, load_args: Any = None) -> None: ...

        def _load(self) -> Any: ...

        def _save(self, data: Any) -> None: ...

        def _describe(self) -> dict[str, Any]:
            return {}

    with pytest.raises(InvalidFormat, match="takes no `save_args`, by which Spark could be told"):
        entry("s3://bucket/x", Silent)
    spark = "spark.spark_dataset_v2.SparkDatasetV2"
    with pytest.raises(InvalidFormat, match="Spark does not go to the data by fsspec"):
        entry("s3://bucket/x", spark, native="fsspec")
    for module, why in {
        "spark_streaming_dataset": "what a streaming query writes is never whole",
        "deltatable_dataset": "spark.SparkDataset with `file_format: delta` does",
    }.items():  # which import packages that are not here
        kind = type("Kind", (Frames,), {"__module__": f"kedro_datasets.spark.{module}"})
        with pytest.raises(InvalidFormat, match=why):
            entry("s3://bucket/x", kind, native=True)
    with pytest.raises(InvalidFormat, match="Spark knows no mode 'merge': write append, overwrite, ignore or error"):
        entry("s3://bucket/x", {"type": spark, "save_args": {"mode": "merge"}}, native=True)
    table = entry("s3://bucket/x", {"type": spark, "save_args": {"mode": "Append"}}, native=True)
    assert table._native._shape == "hadoop"
    assert table._format.builds_on_old


def test_of_pages_about_a_refusal_the_words_of_the_store_are_told() -> None:
    java = "An error occurred.\n: org.apache.spark.SparkException: Job aborted.\n\tat x\nCaused by: "
    denied = "java.nio.file.AccessDeniedException: run/x/_temporary/0: PUT 0-byte object on run/x/_temporary/0: "
    for sdk in (
        "com.amazonaws.services.s3.model.AmazonS3Exception: Access Denied. (Service: Amazon S3; Status Code: 403;",
        "software.amazon.awssdk.services.s3.model.S3Exception: Access Denied (Service: S3, Status Code: 403,",
    ):
        assert said_no(["no", f"{java}{denied}{sdk} Request ID: 1)\n\tat y"]) == "Access Denied"
    of_s3 = "<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>"
    assert said_no([f"Server returned non-2xx status code: 403 Forbidden: {of_s3}"]) == "Access Denied"
    assert said_no([f"{java}java.nio.file.AccessDeniedException: /tmp/x", "404 Not Found: <Message>x</Message>"]) == ""


def test_what_is_no_data_frame_reads_nothing_later() -> None:
    hadoop.forget_cached({"a": 1}, "s3a://bucket/x")
