"""Spark: how Hadoop's S3A, by which it reads and writes, is told of a place in S3's protocol, and what it needs."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from kedro_statisfactory.backends.engines import S3Access
from kedro_statisfactory.datasets.engines import active_spark
from kedro_statisfactory.errors import InvalidFormat
from kedro_statisfactory.hidden import Hidden, HiddenText

#: What a format takes by which Spark is told how to come in.
ARGUMENTS = ("load_args", "save_args")

_S3A = "org.apache.hadoop.fs.s3a."
_PROVIDER = f"{_S3A}{{}}AWSCredentialsProvider"
_S3A_CLASS = f"{_S3A}S3AFileSystem"
_DELTA_CLASS = "org.apache.spark.sql.delta.sources.DeltaDataSource"
# The Maven artifact that has a class.
_JARS = {
    _S3A_CLASS: "org.apache.hadoop:hadoop-aws, in the version of Spark's own Hadoop",
    _DELTA_CLASS: "io.delta:delta-spark, in the version for this Spark",
}
# Characters by which Spark takes a path for a pattern.
_OF_PATTERNS = frozenset("*?[]{}\\")


class Buckets:
    """Who comes into which bucket, as Hadoop was told first.

    S3A keeps one file system for each name of a bucket as long as a process lives, with the endpoint and the keys that
    it has begun with. Another place of the same name would be reached there in silence.

    Args:
        known: What is known already.
    """

    def __init__(self, known: Mapping[str, tuple[Any, str]] | None = None) -> None:
        self._known = dict(known or {})

    def copy(self) -> Buckets:
        """The same, to try what would become of more."""
        return Buckets(self._known)

    def add(self, access: S3Access) -> None:
        """Note who comes into a bucket.

        Args:
            access: A place in it.

        Raises:
            InvalidFormat: Hadoop was told something else of a bucket of that name.
        """
        # Keys that are lent for a time are renewed, and others then.
        who = "lent" if access.session_token else access.access_key_id
        first, url = self._known.setdefault(access.bucket, ((access.endpoint_url, who), access.url))
        if first == (access.endpoint_url, who):
            return
        what = "by other keys" if first[0] == access.endpoint_url else f"at {first[0] or 'AWS'}"
        raise InvalidFormat(
            f"{access.bucket!r} is reached {what} for {url!r}, and Spark keeps one connection for each name of a "
            "bucket (lakeFS's repositories are such names) as long as a process lives: give both entries the same "
            "`credentials`, rename one of the two, or use them in processes of their own."
        )


#: Who comes into which bucket in this process.
BUCKETS = Buckets()


def in_hadoop(access: S3Access) -> tuple[str, dict[str, str]]:
    """A location as S3A is told of it, by options of one read or write.

    They are about its bucket alone, and leave the session of the user as it is.
    """
    is_plain = (access.endpoint_url or "").startswith("http://")
    keys = (access.access_key_id, access.secret_access_key, access.session_token)
    provider = "Temporary" if access.session_token else "Simple" if access.access_key_id else "Anonymous"
    told: dict[str, str] = {
        "endpoint": access.endpoint_url or "",
        "endpoint.region": access.region,
        "path.style.access": str(access.path_style).lower(),
        "connection.ssl.enabled": str(not is_plain).lower(),
        "aws.credentials.provider": _PROVIDER.format(provider),
        **{
            name: HiddenText(key.reveal())
            for name, key in zip(("access.key", "secret.key", "session.token"), keys, strict=True)
            if key is not None
        },
        **_proxy(access.proxy),
    }
    if access.endpoint_url:  # lakeFS refuses what this adds
        told["checksum.generation"] = "false"
    options = {f"fs.s3a.bucket.{access.bucket}.{name}": value for name, value in told.items()}
    # The branch of a run isolates; the committers that a session may prefer need what lakeFS has not.
    options["fs.s3a.committer.name"] = "file"
    if _OF_PATTERNS & set(access.key):
        options["__globPaths__"] = "false"
    return f"s3a://{access.bucket}/{access.key}", options


def _proxy(proxy: Hidden[str] | None) -> dict[str, str]:
    if proxy is None:
        return {}
    parts = urlsplit(proxy.reveal())
    port = str(parts.port or (443 if parts.scheme == "https" else 80))
    told = {"proxy.host": parts.hostname or "", "proxy.port": port}
    if parts.username:
        told |= {"proxy.username": unquote(parts.username), "proxy.password": HiddenText(unquote(parts.password or ""))}
    return told


def secrets_of(options: Mapping[str, str]) -> frozenset[Hidden[str]]:
    """The texts among options that nobody may see."""
    return frozenset(Hidden(str(value)) for value in options.values() if isinstance(value, HiddenText) and value)


def refuse_unready(name: str, args: Mapping[str, Any], is_remote: bool) -> None:
    """Refuse to go on where Spark cannot work, as far as that is known by now.

    A session that is there tells what it lacks. None is made for that: the project may be about to make its own.

    Args:
        name: Of the format.
        args: Its arguments.
        is_remote: Whether the data is in S3's protocol.

    Raises:
        InvalidFormat: Something is missing; the text names it.
    """
    session = active_spark()
    if session is None:
        if importlib.util.find_spec("pyspark") is None:
            raise InvalidFormat(f"{name} needs the package pyspark, which is not installed here: install it.")
        if not (os.environ.get("SPARK_REMOTE") or _java()):
            raise InvalidFormat(
                f"{name} needs Java for Spark, and there is none on this machine: install one that this Spark takes, "
                "and let JAVA_HOME or PATH lead to it."
            )
        return
    needed = [*([_S3A_CLASS] if is_remote else []), *([_DELTA_CLASS] if args.get("file_format") == "delta" else [])]
    for each in needed:
        if not _is_loadable(session, each):
            raise InvalidFormat(
                f"{name} needs a jar that the Spark session in use has not: {_JARS[each]}. Name it in "
                "`spark.jars.packages` where the session is made (for S3 and lakeFS, with what it depends on)."
            )


def files_of(data: object) -> list[str]:
    """The files that a data frame of Spark reads when it is written, as far as it knows; other objects read none."""
    find = getattr(data, "inputFiles", None)
    return [unquote(str(file)).removeprefix("file://") for file in find()] if callable(find) else []


def forget_cached(data: object, path: str) -> None:
    """Let a data frame be read anew, and not taken for another one of that place that somebody has cached.

    Args:
        data: What was loaded; objects that are no data frames read nothing any more.
        path: Where it is.
    """
    session = getattr(data, "sparkSession", None)
    if session is not None:
        session.catalog.refreshByPath(path)


def _java() -> str | None:
    """The Java that Spark would start."""
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=os.path.join(home, "bin") if home else None)


def _is_loadable(session: Any, name: str) -> bool:
    """Whether a session finds a class; that of a server elsewhere does not tell."""
    try:
        jvm = session.sparkContext._jvm
    except Exception:  # Spark Connect has none, and says so by an error of its own
        return True
    try:
        jvm.java.lang.Class.forName(name, False, jvm.java.lang.Thread.currentThread().getContextClassLoader())
    except Exception:  # py4j's, of which each has the Java error ClassNotFoundException
        return False
    return True
