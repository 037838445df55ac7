"""Spark with workers that see none of the driver's folders, and with the jars by which it speaks S3's protocol."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.servers.cache import alone, cache_folder

#: The master of a cluster of two workers, each with a process of its own for the work.
CLUSTER = "local-cluster[2,1,512]"

# hadoop-aws asks for all services of AWS, which are 650 MB. What S3A needs of them is 20 MB, in the version that Hadoop
# names. The libraries for logs are Spark's own.
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <parent>
    <groupId>org.apache.hadoop</groupId><artifactId>hadoop-project</artifactId><version>{hadoop}</version>
    <relativePath/>
  </parent>
  <artifactId>jars</artifactId>
  <dependencies>
    <dependency>
      <groupId>org.apache.hadoop</groupId><artifactId>hadoop-aws</artifactId><version>{hadoop}</version>
      <exclusions>
        <exclusion><groupId>software.amazon.awssdk</groupId><artifactId>bundle</artifactId></exclusion>
      </exclusions>
    </dependency>
    {modules}
  </dependencies>
</project>
"""
# By the version of Spark, as far as there is one: each with what it needs beside Spark.
_DELTA = {
    "4.2": [
        ("delta-spark_4.2_2.13", "4.4.0"),
        ("delta-storage", "4.4.0"),
        ("delta-kernel-api", "4.4.0"),
        ("delta-kernel-defaults", "4.4.0"),
        ("delta-kernel-unitycatalog", "4.4.0"),
    ]
}
_OF_DELTA = """<dependency>
      <groupId>io.delta</groupId><artifactId>{name}</artifactId><version>{version}</version>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>
    </dependency>"""
_MODULE = """<dependency>
      <groupId>software.amazon.awssdk</groupId><artifactId>{name}</artifactId>
      <version>${{aws-java-sdk-v2.version}}</version>
    </dependency>"""
_MODULES = ("s3", "s3-transfer-manager", "sts")
_OF_SPARK = ("commons-codec-", "commons-logging-", "slf4j-")
# For processes that do not live long enough to be worth the best code.
_SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_FETCHED_WITHIN = 600.0  # seconds


class NoSpark(Exception):
    """Spark cannot be started here; the text says what is missing."""


def jars() -> list[Path]:
    """What a session of the installed Spark needs for S3: fetched once by Maven, which verifies it, and kept.

    Raises:
        NoSpark: They have to be fetched, and that fails.
    """
    import pyspark

    client = next(Path(pyspark.__path__[0], "jars").glob("hadoop-client-api-*.jar"))
    hadoop = client.stem.rpartition("-")[2]
    cache = cache_folder()
    kept = cache / f"spark-{pyspark.__version__}-jars"
    if not kept.exists():
        with alone(cache / "fetching"):
            if not kept.exists():
                _fetch(hadoop, _delta(), kept)
    return sorted(each for each in kept.glob("*.jar") if not each.name.startswith(_OF_SPARK))


def has_delta() -> bool:
    """Whether there is a Delta for the installed Spark."""
    return bool(_delta())


def _delta() -> list[tuple[str, str]]:
    import pyspark

    return _DELTA.get(".".join(pyspark.__version__.split(".")[:2]), [])


def _fetch(hadoop: str, delta: list[tuple[str, str]], target: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise NoSpark("there is no Maven on PATH, by which the jars for S3 are fetched.")
    with tempfile.TemporaryDirectory(prefix="jars-", dir=target.parent) as folder:
        more = [_MODULE.format(name=name) for name in _MODULES]
        more += [_OF_DELTA.format(name=name, version=version) for name, version in delta]
        Path(folder, "pom.xml").write_text(_POM.format(hadoop=hadoop, modules="\n    ".join(more)))
        strictly = [maven, "-q", "-B", "-C", "dependency:copy-dependencies", "-DincludeScope=runtime"]
        done = subprocess.run(
            [*strictly, f"-DoutputDirectory={folder}/jars"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_FETCHED_WITHIN,
        )
        if done.returncode:
            raise NoSpark(f"the jars for S3 cannot be fetched:\n{(done.stdout + done.stderr)[-2000:]}")
        os.replace(Path(folder, "jars"), target)


@contextlib.contextmanager
def spark(master: str, folder: Path) -> Iterator[Any]:
    """A session of Spark until the block is left.

    Args:
        master: Where it works.
        folder: Of the driver, for all that it has. In a cluster it is empty for the workers.
    """
    import pyspark
    from pyspark.sql import SparkSession

    java = shutil.which("java")
    if java is None:
        raise NoSpark("Spark needs Java, and there is no `java` on this machine.")
    home = folder / "java"
    if not home.exists():
        (home / "bin").mkdir(parents=True)
        own = "--mount" if os.geteuid() == 0 else "--user --map-root-user --mount"
        command = f'mount -t tmpfs tmpfs {folder} && cd / && exec {java} "$@"'
        (home / "bin/java").write_text(f"#!/bin/sh\nexec unshare {own} sh -c '{command}' java \"$@\"\n")
        (home / "bin/java").chmod(0o755)
        done = subprocess.run([home / "bin/java", "-version"], capture_output=True, text=True, timeout=60)
        if done.returncode:  # without workers a job would wait for ever
            raise NoSpark(f"workers cannot have a view of their own of the file system: {done.stderr.strip()}")
    config: dict[str, Any] = {
        "spark.driver.extraJavaOptions": _SHORT_LIVED,
        "spark.executor.extraJavaOptions": _SHORT_LIVED,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.executor.memory": "512m",
        "spark.executorEnv.JAVA_HOME": str(home),
        "spark.jars": ",".join(map(str, jars())),
        "spark.sql.shuffle.partitions": "1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    if has_delta():
        config["spark.databricks.delta.snapshotPartitions"] = "1"  # a task for each of 50 would take most of the time
        config["spark.sql.extensions"] = "io.delta.sql.DeltaSparkSessionExtension"
        config["spark.sql.catalog.spark_catalog"] = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
    session = SparkSession.builder.master(master).config(map=config).getOrCreate()
    logs = Path(pyspark.__path__[0], "work", session.sparkContext.applicationId)  # of the workers
    try:
        yield session
    finally:
        session.stop()
        shutil.rmtree(logs, ignore_errors=True)


@contextlib.contextmanager
def without_s3fs() -> Iterator[None]:
    """Stand in for what kedro-datasets imports for Spark, and uses for versions in folders alone.

    s3fs of these days cannot be installed beside a boto3 of these days.
    """
    known: dict[str, Any] = importlib.import_module("fsspec.registry")._registry

    class Nothing:
        def __init__(self, **_: Any) -> None: ...

        def exists(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("this goes past Spark")

        glob = exists

    s3fs, hdfs = ModuleType("s3fs"), ModuleType("hdfs")
    vars(s3fs).update(S3FileSystem=Nothing, __version__="2026.9.0")
    vars(hdfs).update(HdfsError=Exception, InsecureClient=object)
    before = dict(known)
    real = {name: sys.modules.get(name) for name in ("s3fs", "hdfs")}
    sys.modules.update(s3fs=s3fs, hdfs=hdfs)
    try:
        yield
    finally:
        for name in known.keys() - before.keys():
            del known[name]
        for name in (*real, "kedro_datasets.spark.spark_dataset"):
            sys.modules.pop(name, None)
        sys.modules.update({name: module for name, module in real.items() if module})
