"""S3 and what speaks its protocol, through boto3's client."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import ParseResult

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.base import Backend
from kedro_statisfactory.backends.cache import ContentCache
from kedro_statisfactory.backends.engines import S3Access, Saving
from kedro_statisfactory.backends.info import ObjectInfo
from kedro_statisfactory.backends.keeping import keep
from kedro_statisfactory.backends.s3.access import ensure_bucket, s3_access
from kedro_statisfactory.backends.s3.below import objects_below
from kedro_statisfactory.backends.s3.cached import key_as_written
from kedro_statisfactory.backends.s3.client import SECRET_VARIABLES, s3_client, s3_objects
from kedro_statisfactory.backends.s3.credentials import s3_configuration
from kedro_statisfactory.backends.s3.deleting import delete_keys
from kedro_statisfactory.backends.s3.errors import code_of, kind_of, translated
from kedro_statisfactory.backends.s3.keys import bucket_and_key, claim_of
from kedro_statisfactory.backends.s3.options import is_about_one_request, known_to, members
from kedro_statisfactory.backends.s3.reading import S3Reader
from kedro_statisfactory.backends.s3.writing import S3Writer, Stored, goes_in_parts
from kedro_statisfactory.errors import (
    BucketNotFound,
    ObjectNotFound,
    PermissionDenied,
    PreconditionFailed,
    UnknownOption,
)
from kedro_statisfactory.location import checked, join, unparse
from kedro_statisfactory.session import Session

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Seconds that a user who has interrupted waits until a claim is taken away.
_PATIENCE_AT_ONCE = 1.0
# What services say to a condition that they do not know.
_CONDITION_REFUSED = frozenset(("NotImplemented", "InvalidArgument", "InvalidRequest", "MethodNotAllowed"))
_CREATE_BUCKET = "create_bucket"
_BUCKET_IS_THERE = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists", "OperationAborted")


class S3Backend(Backend, prefix="s3", aliases=("s3a", "s3n")):
    """Objects in S3 buckets.

    ``save_args`` of an entry are arguments of boto3's ``put_object`` (``ServerSideEncryption``, ``StorageClass``,
    …) and ``create_bucket: false``, which makes a missing bucket an error. ``load_args`` are those of ``get_object``
    (``VersionId``, …). In place of a bucket a URL may have the ARN of an access point, which must exist. A folder is
    stored as one object per file below the key; each of them is whole at any time, the folder as such is not atomic.

    Small objects take one request. Large ones are fetched in ranges of one and the same version, and sent in parts, on
    several connections; with checksums of one's own among the ``save_args`` they are sent by one request, for which
    those hold. Every other object carries a CRC-32 of all its bytes, which the service verifies when it is written and
    this class when it is read.

    Raises:
        UnknownCredential: The session's credentials have a key that S3 does not know.
    """

    notes_reads = keeps_copies = True
    secret_variables = SECRET_VARIABLES

    def __init__(self, session: Session, logger_name: str = __name__) -> None:
        super().__init__(session, logger_name)
        s3_configuration(session.credentials)
        self._cache = ContentCache(session)

    def check_options(self, *, load_args: Mapping[str, Any], save_args: Mapping[str, Any]) -> None:
        """Refuse options that boto3 does not know; whether their values fit is seen when they are used."""
        self._read_options(load_args)
        self._write_options(save_args)

    def check_location(self, fragment: ParseResult) -> None:
        """Refuse a URL without a bucket, or with a placeholder for one."""
        bucket_and_key(fragment)

    def put(self, *, payload: bytes, fragment: ParseResult, **kwargs: Any) -> None:
        """Store ``payload`` as one object; the bucket is created when the service says that it is missing.

        Raises:
            BucketNotFound: There is no bucket, and ``create_bucket`` is off.
            PreconditionFailed: A condition of the options (``IfNoneMatch``, ``IfMatch``) does not hold.
        """
        self._store(payload, fragment, kwargs, consume=True)

    def get(self, *, fragment: ParseResult, **kwargs: Any) -> bytes:
        """Fetch one object, its length and, where the service keeps one, its checksum verified."""
        bucket, key = bucket_and_key(fragment)
        with self._translated(fragment):
            return self._reader.read(bucket, key, self._read_options(kwargs))

    def upload(self, *, source: Path, fragment: ParseResult, consume: bool = False, **kwargs: Any) -> None:
        """Store a file as an object, or each file of a folder as an object below the key.

        Files of a folder go in parallel, those below a name that begins with ``_`` last and in order: formats keep
        there what says that the rest is complete. Then objects are removed that the folder does not have, and one at
        the key itself, which would be found before the folder.
        """
        if not source.is_dir():
            self._store(source, fragment, kwargs, consume)
            return
        kept = {path.as_posix() for path in self._store_folder(source, fragment, kwargs, consume)}
        bucket, key = bucket_and_key(fragment)
        with self._translated(fragment):
            stale = [info.path for info in self._below(bucket, f"{key}/", {}) if info.path not in kept]
            delete_keys(self._client, bucket, [key, *(f"{key}/{path}" for path in stale)])

    def create(self, *, source: Path | bytes, fragment: ParseResult, consume: bool = False, **kwargs: Any) -> None:
        """Store a file or a folder where nothing is; of several that do this at once, one succeeds.

        A small object is stored on the condition that there is none (``If-None-Match: *``), and has a token in its
        metadata by which a try is known whose answer was lost. A folder, and a large object, for which not every
        service decides that at once, are claimed first, by a small object beside them. Who has claimed a folder looks
        whether there is something; then the files are sent, and the claim is taken away. Who finds a claim does not
        save. So nobody adds to a folder of which another has stored a part; but after a ``kill -9`` that part and the
        claim stay until the location is deleted.

        What is there is looked for in any case. On services that do not care for the condition that is all: of several
        that save at the same moment, more than one may succeed.

        Raises:
            PreconditionFailed: Something is there, or another saver is about to store it.
        """
        # Not every service, and nothing on the way, has to care for the condition.
        with contextlib.suppress(PermissionDenied):  # who may write may not always look
            if self.exists(fragment=fragment, **known_to("GetObject", kwargs)):
                raise self._already_there(fragment)
        is_folder = isinstance(source, Path) and source.is_dir()
        if is_folder or goes_in_parts(source, kwargs):
            self._create_claimed(source, fragment, kwargs, consume)
        elif not self._create_object(source, fragment, kwargs, consume):
            super().create(source=source, fragment=fragment, consume=consume, **kwargs)

    def _create_object(
        self, source: Path | bytes, fragment: ParseResult, kwargs: Mapping[str, Any], consume: bool
    ) -> bool:
        """Store an object where none is; ``False``: the service does not know the condition."""
        bucket, key = bucket_and_key(fragment)
        with self._translated(fragment):
            options, create_bucket = self._write_options(kwargs)
            writer = S3Writer(s3_objects(self._session), self._create_bucket)
            try:
                stored = writer.create_object(source, bucket, key, options, create_bucket)
            except self._client.exceptions.ClientError as error:
                if kind_of(code_of(error)) is PreconditionFailed:
                    raise self._already_there(fragment) from error
                if code_of(error) not in _CONDITION_REFUSED:
                    raise
                return False  # if it was for another reason, the same is said once more
            self._keep(source, stored if consume else None, fragment, options)
            return True

    def _create_claimed(
        self, source: Path | bytes, fragment: ParseResult, kwargs: Mapping[str, Any], consume: bool
    ) -> None:
        """Claim a location, store a large object or a folder where nothing is, and take the claim away."""
        claim, content = claim_of(fragment), secrets.token_bytes(16)
        # Those of the claim: nothing that is about the payload, nor a class that has objects paid for months.
        options = {key: kwargs[key] for key in kwargs if not is_about_one_request(key) and key != "StorageClass"}
        stored: list[str] = []
        try:
            is_claimed = self._create_object(content, claim, options, consume)
            if isinstance(source, Path) and source.is_dir() and is_claimed:
                if self.exists(fragment=fragment):
                    raise self._already_there(fragment)
                stored = [path.as_posix() for path in chain(*transfer.files_of(source))]
                self._store_folder(source, fragment, kwargs, consume)
            elif not is_claimed or not self._create_object(source, fragment, kwargs, consume):
                super().create(source=source, fragment=fragment, consume=consume, **kwargs)
        except BaseException as error:  # an interrupt, too, must not be in the way of the next saver

            def give_up() -> None:
                # The claim may be there although no answer said so, or be another saver's.
                if self.get(fragment=claim, **known_to("GetObject", options)) == content:
                    self._delete_each([*(join(fragment, path) for path in stored), claim])

            self._tidy_up(claim, give_up, at_once=not isinstance(error, Exception))
            raise
        self._tidy_up(claim, lambda: self._delete_each([claim]))

    def _tidy_up(self, claim: ParseResult, work: Callable[[], None], at_once: bool = False) -> None:
        """Take away a claim, and what belongs to it, without an error; not for long where the user has interrupted."""
        try:
            transfer.beside(work).result(_PATIENCE_AT_ONCE if at_once else None)
        except ObjectNotFound:
            return
        except Exception as error:  # the save is done, or has an error that says more
            self._logger.warning("%r may be left, which keeps others from saving there: %s", unparse(claim), error)

    def _delete_each(self, fragments: Sequence[ParseResult]) -> None:
        with self._translated(fragments[-1]):
            keys = [bucket_and_key(each)[1] for each in fragments]
            delete_keys(self._client, bucket_and_key(fragments[-1])[0], keys)

    def _store_folder(
        self, source: Path, fragment: ParseResult, kwargs: Mapping[str, Any], consume: bool
    ) -> list[Path]:
        """Store the files of a folder in the order that formats need; gives their paths."""
        first, last = transfer.files_of(source)

        def upload(path: Path, _: threading.Event) -> None:
            self._store(source / path, join(fragment, *path.parts), kwargs, consume)

        transfer.in_parallel(upload, first, transfer.UPLOAD_WORKERS)
        for path in last:
            upload(path, threading.Event())
        return [*first, *last]

    def download(self, *, target: Path, fragment: ParseResult, **kwargs: Any) -> None:
        """Fetch an object into a file or, where there is none, all objects below the key into a folder."""
        self._download(target, fragment, kwargs, shared=False)

    def lend(self, *, target: Path, fragment: ParseResult, **kwargs: Any) -> None:
        """The same, where files may be those of the cache."""
        self._download(target, fragment, kwargs, shared=True)

    def _download(self, target: Path, fragment: ParseResult, kwargs: Mapping[str, Any], shared: bool) -> None:
        bucket, key = bucket_and_key(fragment)
        with self._translated(fragment):
            options, reader = self._read_options(kwargs), self._reader
            try:
                reader.download(target, bucket, key, options, shared)
                return
            except self._client.exceptions.NoSuchKey:
                found = list(self._below(bucket, f"{key}/", options))
                if not found:
                    raise

            def download(info: ObjectInfo, _: threading.Event) -> None:
                file = target / checked(fragment._replace(path=f"/{info.path}")).path.removeprefix("/")
                file.parent.mkdir(parents=True, exist_ok=True)
                reader.download(file, bucket, f"{key}/{info.path}", options, shared, info.checksum)

            transfer.in_parallel(download, found, transfer.DOWNLOAD_WORKERS)

    def exists(self, *, fragment: ParseResult, **kwargs: Any) -> bool:
        """Whether there is an object, or one below the key.

        Raises:
            PermissionDenied: The service does not tell. Without the right to list a bucket S3 answers so for
                whatever is missing.
        """
        bucket, key = bucket_and_key(fragment)
        try:
            self.stat(fragment=fragment, **kwargs)
        except (ObjectNotFound, BucketNotFound):
            with self._translated(fragment):
                options = known_to("ListObjectsV2", self._read_options(kwargs))
                try:
                    return any(True for _ in self._below(bucket, f"{key}/", options, at_once=10))
                except self._client.exceptions.NoSuchBucket:
                    return False
        return True

    def stat(self, *, fragment: ParseResult, **kwargs: Any) -> ObjectInfo:
        """Size, time and ETag of one object."""
        bucket, key = bucket_and_key(fragment)
        with self._translated(fragment):
            options = known_to("HeadObject", self._read_options(kwargs))
            found = s3_objects(self._session).head_object(Bucket=bucket, Key=key, **options)
            return ObjectInfo("", found["ContentLength"], found.get("LastModified"), found["ETag"])

    def list(self, *, fragment: ParseResult, **kwargs: Any) -> Iterator[ObjectInfo]:
        """All objects below a key; a request for every 1,000 of them."""
        bucket, key = bucket_and_key(fragment)
        with self._translated(fragment):
            try:
                yield from self._below(bucket, f"{key}/", self._read_options(kwargs))
            except self._client.exceptions.NoSuchBucket:
                return

    def delete(self, *, fragment: ParseResult, **kwargs: Any) -> None:
        """Remove an object and all objects below its key."""
        bucket, key = bucket_and_key(fragment)
        self._refuse_unknown(kwargs)
        with self._translated(fragment), contextlib.suppress(self._client.exceptions.NoSuchBucket):
            below = [f"{key}/{info.path}" for info in self._below(bucket, f"{key}/", {}, with_claims=True)]
            delete_keys(self._client, bucket, [key, bucket_and_key(claim_of(fragment))[1], *below])

    def end_changes(self, *, fragment: ParseResult, remove: Iterable[str] = (), **kwargs: Any) -> None:
        """Remove objects below a key; a request for every 1,000 of them."""
        bucket, key = bucket_and_key(fragment)
        with self._translated(fragment):
            delete_keys(self._client, bucket, [f"{key}/{path}" for path in remove])

    def engine_access(self, *, fragment: ParseResult, saving: Saving | None = None, **kwargs: Any) -> S3Access:
        """The object, or the folder of objects; a missing bucket is created for an engine that is going to write.

        Raises:
            ObjectNotFound, BucketNotFound: Nothing is there to be read.
            NotSupported: It is in an access point, or there are options that an engine cannot be told.
        """
        bucket, key = bucket_and_key(fragment)
        create = saving is not None and self._write_options(kwargs)[1]
        if (untold := sorted(kwargs.keys() - {_CREATE_BUCKET})) or bucket.startswith("arn:"):
            raise self._not_supported(f"tell an engine of {untold[0] if untold else 'access points'}", fragment)
        if saving is None:
            self._note_before_reading(bucket, key, fragment)
        with self._translated(fragment):
            if create:
                ensure_bucket(self._client, bucket, self._create_bucket)
            if saving == "replace":
                self.delete(fragment=fragment)
            return s3_access(self._session, bucket, key, unparse(fragment))

    def check_engine(self, *, fragment: ParseResult) -> S3Access:
        """How an engine would come in; there have to be keys."""
        with self._translated(fragment):
            return s3_access(self._session, *bucket_and_key(fragment), unparse(fragment))

    def serves_scans(self, *, fragment: ParseResult, **kwargs: Any) -> bool:
        """Whether there is nothing that an engine could not be told."""
        return not kwargs and not fragment.netloc.startswith("arn:")

    @property
    def _client(self) -> S3Client:
        return s3_client(self._session)

    @property
    def _reader(self) -> S3Reader:
        return S3Reader(s3_objects(self._session), self._cache, self.note_read if self.is_noted else None)

    def _create_bucket(self, bucket: str) -> None:
        """Create a bucket in the client's region; one that is there already, or just being made, is as good."""
        region: Any = self._client.meta.region_name
        # us-east-1 is the one region that must not be named; endpoints of other makers may have none.
        abroad = region not in (None, "us-east-1", "aws-global")
        constraint: Any = {"CreateBucketConfiguration": {"LocationConstraint": region}} if abroad else {}
        try:
            self._client.create_bucket(Bucket=bucket, **constraint)
        except self._client.exceptions.ClientError as error:
            if code_of(error) not in _BUCKET_IS_THERE:
                raise
        self._logger.info("Created the bucket %r.", bucket)

    def _note_before_reading(self, bucket: str, key: str, fragment: ParseResult) -> None:
        """See that there is something for an engine to read, and note what it is where that is asked for."""
        try:
            found = [dataclasses.replace(self.stat(fragment=fragment), path=key)]
        except ObjectNotFound:
            with self._translated(fragment):
                below = self._below(bucket, f"{key}/", {}, at_once=1000 if self.is_noted else 10)
                found = [
                    dataclasses.replace(each, path=f"{key}/{each.path}")
                    for each in islice(below, None if self.is_noted else 1)
                ]
            if not found:
                raise
        for each in found:
            self.note_read(each)

    def _store(self, source: Path | bytes, fragment: ParseResult, kwargs: Mapping[str, Any], consume: bool) -> None:
        """Store a file, or what is in memory, as one object."""
        bucket, key = bucket_and_key(fragment)
        with self._translated(fragment):
            options, create = self._write_options(kwargs)
            writer = S3Writer(s3_objects(self._session), self._create_bucket)
            stored = writer.store(source, bucket, key, options, create)
            self._keep(source, stored if consume else None, fragment, options)

    def _keep(
        self, source: Path | bytes, stored: Stored | None, fragment: ParseResult, options: Mapping[str, Any]
    ) -> None:
        """Keep in the cache what was stored just now, if something was that nobody changes any more."""
        if stored:
            place = key_as_written(s3_objects(self._session), *bucket_and_key(fragment), options)
            keep(self._cache, place, source, stored.etag, stored.crc32)

    def _below(self, bucket: str, prefix: str, options: Mapping[str, Any], **more: Any) -> Iterator[ObjectInfo]:
        return objects_below(s3_objects(self._session), bucket, prefix, options, **more)

    def _read_options(self, kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        if kwargs:
            self._refuse_unknown(kwargs, members("GetObject"))
        return kwargs

    def _write_options(self, kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        options = dict(kwargs)
        create_bucket = options.pop(_CREATE_BUCKET, True)
        if not isinstance(create_bucket, bool):
            raise UnknownOption(f"`{_CREATE_BUCKET}` is {create_bucket!r}: write true or false.")
        if options:
            self._refuse_unknown(options, members("PutObject") | {_CREATE_BUCKET})
        return options, create_bucket

    def _translated(self, fragment: ParseResult) -> AbstractContextManager[None]:
        return translated(fragment, self._session, self.redacted)
