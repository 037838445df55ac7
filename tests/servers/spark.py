"""Spark with workers that see none of the driver's folders, and with the jars by which it speaks S3's protocol."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
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
_MODULE = """<dependency>
      <groupId>software.amazon.awssdk</groupId><artifactId>{name}</artifactId>
      <version>${{aws-java-sdk-v2.version}}</version>
    </dependency>"""
_MODULES = ("s3", "s3-transfer-manager", "sts")
_OF_SPARK = ("commons-codec-", "commons-logging-", "slf4j-")
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
    kept = cache / f"hadoop-aws-{hadoop}"
    if not kept.exists():
        with alone(cache / "fetching"):
            if not kept.exists():
                _fetch(hadoop, kept)
    return sorted(each for each in kept.glob("*.jar") if not each.name.startswith(_OF_SPARK))


def _fetch(hadoop: str, target: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise NoSpark("there is no Maven on PATH, by which the jars for S3 are fetched.")
    with tempfile.TemporaryDirectory(prefix="jars-", dir=target.parent) as folder:
        modules = "\n    ".join(_MODULE.format(name=name) for name in _MODULES)
        Path(folder, "pom.xml").write_text(_POM.format(hadoop=hadoop, modules=modules))
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
def spark(master: str, folder: Path, **options: str) -> Iterator[Any]:
    """A session of Spark until the block is left.

    Args:
        master: Where it works. In a cluster, workers have the folder for temporary files for themselves, so that the
            driver's are empty.
        folder: For what the workers need.
        options: More of the session, with ``_`` for each dot.
    """
    from pyspark.sql import SparkSession

    java = shutil.which("java")
    if java is None:
        raise NoSpark("Spark needs Java, and there is no `java` on this machine.")
    home = folder / "java"
    if not home.exists():
        (home / "bin").mkdir(parents=True)
        own = "--mount" if os.geteuid() == 0 else "--user --map-root-user --mount"
        command = f'mount -t tmpfs tmpfs {tempfile.gettempdir()} && cd / && exec {java} "$@"'
        (home / "bin/java").write_text(f"#!/bin/sh\nexec unshare {own} sh -c '{command}' java \"$@\"\n")
        (home / "bin/java").chmod(0o755)
    config: dict[str, Any] = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.executor.memory": "512m",
        "spark.executorEnv.JAVA_HOME": str(home),
        "spark.jars": ",".join(map(str, jars())),
        "spark.sql.shuffle.partitions": "1",
        "spark.ui.enabled": "false",
        **{name.replace("_", "."): value for name, value in options.items()},
    }
    session = SparkSession.builder.master(master).config(map=config).getOrCreate()
    try:
        yield session
    finally:
        session.stop()
