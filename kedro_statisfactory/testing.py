"""The promises of a backend as tests: whoever writes one inherits them.

.. code-block:: python

    class TestMyBackend(BackendContract):
        def new_backend(self) -> Backend:
            return MyBackend(Session())

        def url(self, name: str) -> str:
            return f"mine://somewhere/{name}"

        def raw_write(self, url: str, payload: bytes) -> None: ...
        def raw_read(self, url: str) -> bytes: ...

``raw_write`` and ``raw_read`` must go around the backend, so that ``put`` and ``get`` are each checked against the
medium and not against each other. Tests of verbs that a backend does not support check that it says so. For a place
where nothing can be written inherit ``ReadOnlyContract`` instead, which needs no ``raw_read``.
"""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import ParseResult

import pytest

from kedro_statisfactory.backends import Backend
from kedro_statisfactory.backends.engines import S3Access
from kedro_statisfactory.errors import InvalidURL, NotSupported, PreconditionFailed, UnknownOption
from kedro_statisfactory.location import parse

#: Names that must reach the medium as they are. "100%41" is no "100A".
ODD_NAMES = (
    "plain.csv",
    "with space.csv",
    "what?.csv",
    "a#b.csv",
    "a;b=c.csv",
    "100%41.csv",
    "plus+and&.csv",
    "übergröße-数据.csv",
    "sub/folder/x.csv",
)


class ReadingContract(ABC):
    """What holds for a backend that only reads as well; ``raw_write`` is another way to store something there."""

    @abstractmethod
    def new_backend(self) -> Backend:
        """A backend of the class under test."""

    @abstractmethod
    def url(self, name: str) -> str:
        """The URL of something called ``name``, in a place that is empty at the start of each test."""

    @abstractmethod
    def raw_write(self, url: str, payload: bytes) -> None:
        """Store bytes without the backend."""

    def _at(self, name: str) -> ParseResult:
        return parse(self.url(name))

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_get_gives_the_bytes_under_the_very_name(self, name: str) -> None:
        self.raw_write(self.url(name), b"what is there")
        assert self.new_backend().get(fragment=self._at(name)) == b"what is there"

    def test_what_is_not_there_is_a_file_not_found_error(self, tmp_path: Path) -> None:
        backend = self.new_backend()
        with pytest.raises(FileNotFoundError):
            backend.get(fragment=self._at("missing"))
        with pytest.raises(FileNotFoundError):
            backend.stat(fragment=self._at("missing"))
        with pytest.raises(FileNotFoundError):
            backend.download(target=tmp_path / "missing", fragment=self._at("missing"))
        assert not (tmp_path / "missing").exists()

    def test_exists_follows_the_medium(self) -> None:
        backend = self.new_backend()
        assert not backend.exists(fragment=self._at("x"))
        self.raw_write(self.url("x"), b"")
        assert backend.exists(fragment=self._at("x"))

    def test_stat_tells_the_size(self) -> None:
        self.raw_write(self.url("x"), b"12345")
        assert self.new_backend().stat(fragment=self._at("x")).size == 5

    def test_unsafe_locations_are_refused(self) -> None:
        for name in ("../x", "a//b", "a\x00b", "a\nb"):
            with pytest.raises(InvalidURL):
                self._at(name)

    def test_a_backend_travels_to_other_processes(self) -> None:
        self.raw_write(self.url("x"), b"x")
        backend = self.new_backend()
        backend.get(fragment=self._at("x"))
        assert pickle.loads(pickle.dumps(backend)).get(fragment=self._at("x")) == b"x"

    def test_a_file_is_downloaded(self, tmp_path: Path) -> None:
        self.raw_write(self.url("x"), b"a file")
        self.new_backend().download(target=tmp_path / "target", fragment=self._at("x"))
        assert (tmp_path / "target").read_bytes() == b"a file"

    def test_unknown_options_of_a_read_are_refused(self) -> None:
        self.raw_write(self.url("x"), b"x")
        with pytest.raises((UnknownOption, TypeError), match="no_such_option"):
            self.new_backend().get(fragment=self._at("x"), no_such_option=1)


class ReadOnlyContract(ReadingContract):
    """Inherit from it for a place where nothing can be written."""

    def test_whatever_would_write_is_refused_and_changes_nothing(self, tmp_path: Path) -> None:
        backend, source = self.new_backend(), tmp_path / "source"
        source.write_bytes(b"new")
        self.raw_write(self.url("x"), b"old")
        writes: dict[str, Callable[[], None]] = {
            "put": lambda: backend.put(payload=b"new", fragment=self._at("x")),
            "upload": lambda: backend.upload(source=source, fragment=self._at("x")),
            "create": lambda: backend.create(source=source, fragment=self._at("y")),
            "delete": lambda: backend.delete(fragment=self._at("x")),
            "a use by a pipeline that writes": lambda: backend.check_use(self._at("x"), is_written=True),
        }
        for write in writes.values():
            with pytest.raises(NotSupported):
                write()
        backend.check_use(self._at("x"), is_written=False)
        assert backend.get(fragment=self._at("x")) == b"old"
        assert not backend.exists(fragment=self._at("y"))


class BackendContract(ReadingContract):
    """Inherit from it under a name that pytest collects, and say how to reach the medium."""

    @abstractmethod
    def raw_read(self, url: str) -> bytes:
        """Fetch bytes without the backend."""

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_put_stores_the_bytes_under_the_very_name(self, name: str) -> None:
        self.new_backend().put(payload=b"what was put", fragment=self._at(name))
        assert self.raw_read(self.url(name)) == b"what was put"

    @pytest.mark.parametrize("payload", [b"", b"\x00\xff\r\n", bytes(range(256)) * 1024])
    def test_any_bytes_come_back(self, payload: bytes) -> None:
        backend = self.new_backend()
        backend.put(payload=payload, fragment=self._at("blob"))
        assert backend.get(fragment=self._at("blob")) == payload
        assert self.raw_read(self.url("blob")) == payload

    def test_put_replaces_what_is_there(self) -> None:
        self.raw_write(self.url("x"), b"a longer text from before")
        self.new_backend().put(payload=b"new", fragment=self._at("x"))
        assert self.raw_read(self.url("x")) == b"new"

    def test_a_file_travels_both_ways(self, tmp_path: Path) -> None:
        backend = self.new_backend()
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(b"a file")
        backend.upload(source=source, fragment=self._at("x"))
        assert source.read_bytes() == b"a file", "a source that may not be consumed stays"
        assert self.raw_read(self.url("x")) == b"a file"
        backend.download(target=target, fragment=self._at("x"))
        assert target.read_bytes() == b"a file"

    def test_a_folder_travels_both_ways_or_is_refused(self, tmp_path: Path) -> None:
        backend = self.new_backend()
        source, target = tmp_path / "source", tmp_path / "target"
        for name in ("part-0", "deep/er/part-1", "_log/0.json"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(name.encode())
        try:
            backend.upload(source=source, fragment=self._at("tree"))
        except NotSupported:
            return
        backend.download(target=target, fragment=self._at("tree"))
        found = {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()}
        assert found == {name: name.encode() for name in ("part-0", "deep/er/part-1", "_log/0.json")}
        assert backend.exists(fragment=self._at("tree"))

    def test_create_replaces_nothing(self, tmp_path: Path) -> None:
        backend, source = self.new_backend(), tmp_path / "source"
        source.write_bytes(b"a file")
        backend.create(source=b"bytes", fragment=self._at("bytes"))
        backend.create(source=source, fragment=self._at("file"))
        self.raw_write(self.url("of another"), b"of another")
        assert source.read_bytes() == b"a file", "a source that may not be consumed stays"
        for name, content in (("bytes", b"bytes"), ("file", b"a file"), ("of another", b"of another")):
            for again in (b"again", source):
                with pytest.raises(PreconditionFailed):
                    backend.create(source=again, fragment=self._at(name))
            assert self.raw_read(self.url(name)) == content

    def test_create_replaces_no_folder_or_is_refused(self, tmp_path: Path) -> None:
        backend, first, second = self.new_backend(), tmp_path / "first", tmp_path / "second"
        for folder in (first, second):
            folder.mkdir()
            (folder / folder.name).write_bytes(b"x")
        try:
            backend.create(source=first, fragment=self._at("tree"))
        except NotSupported:
            return
        with pytest.raises(PreconditionFailed):
            backend.create(source=second, fragment=self._at("tree"), consume=True)
        self.raw_write(self.url("of another/x"), b"x")
        with pytest.raises(PreconditionFailed):
            backend.create(source=second, fragment=self._at("of another"))
        backend.download(target=tmp_path / "tree", fragment=self._at("tree"))
        assert [path.name for path in (tmp_path / "tree").iterdir()] == ["first"]
        assert self.raw_read(self.url("of another/x")) == b"x"

    def test_list_and_delete_follow_the_medium_or_are_refused(self) -> None:
        backend = self.new_backend()
        for name in ("tree/b", "tree/a/c", "tree-of-another-name"):
            self.raw_write(self.url(name), name.encode())
        try:
            assert [info.path for info in backend.list(fragment=self._at("tree"))] == ["a/c", "b"]
            assert list(backend.list(fragment=self._at("nothing"))) == []
        except NotSupported:
            pass
        try:
            backend.delete(fragment=self._at("tree"))
            backend.delete(fragment=self._at("nothing"))
        except NotSupported:
            return
        assert not backend.exists(fragment=self._at("tree/b"))
        assert backend.exists(fragment=self._at("tree-of-another-name"))

    def test_engines_find_a_location_by_themselves_or_are_refused(self) -> None:
        backend = self.new_backend()
        for name in ("x", "tree/a"):
            self.raw_write(self.url(name), name.encode())
        try:
            access = backend.engine_access(fragment=self._at("x"))
        except NotSupported:
            return
        assert self._read_by_engine(access) == b"x"
        backend.engine_access(fragment=self._at("tree"))
        with pytest.raises(FileNotFoundError):
            backend.engine_access(fragment=self._at("missing"))
        self._write_by_engine(backend.engine_access(fragment=self._at("new/x"), saving="add"), b"new")
        assert backend.end_engine_save(fragment=self._at("new/x"))
        assert self.raw_read(self.url("new/x")) == b"new"
        backend.engine_access(fragment=self._at("tree"), saving="replace")
        assert not backend.exists(fragment=self._at("tree"))
        assert not backend.end_engine_save(fragment=self._at("tree"))

    @staticmethod
    def _read_by_engine(access: S3Access | Path) -> bytes:
        from kedro_statisfactory.backends.s3.filesystem import EngineFileSystem

        return access.read_bytes() if isinstance(access, Path) else EngineFileSystem(access, "x").cat_file("x")

    @staticmethod
    def _write_by_engine(access: S3Access | Path, payload: bytes) -> None:
        from kedro_statisfactory.backends.s3.filesystem import EngineFileSystem

        if isinstance(access, Path):
            access.write_bytes(payload)
        else:
            EngineFileSystem(access, "x").pipe_file("x", payload)

    def test_unknown_options_of_a_write_are_refused(self) -> None:
        self.raw_write(self.url("x"), b"x")
        with pytest.raises((UnknownOption, TypeError), match="no_such_option"):
            self.new_backend().put(payload=b"", fragment=self._at("x"), no_such_option=1)
        assert self.raw_read(self.url("x")) == b"x"

    def test_an_overwrite_is_seen_whole_by_readers(self) -> None:
        backend = self.new_backend()
        versions = [bytes([number]) * 300_000 for number in range(8)]
        backend.put(payload=versions[0], fragment=self._at("x"))
        with ThreadPoolExecutor(4) as executor:
            writes = [executor.submit(backend.put, payload=each, fragment=self._at("x")) for each in versions]
            reads = [executor.submit(backend.get, fragment=self._at("x")) for _ in range(24)]
            for write in writes:
                write.result()
            assert all(read.result() in versions for read in reads)
