"""What counts is the code that runs, which may be another one than what is in the files now."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import py_compile
import shutil
import sys
import time
import zipfile
from pathlib import Path

import pytest

from kedro_statisfactory.project.code import files
from kedro_statisfactory.project.code.unknown import CodeNotKnown
from tests.project.code.conftest import Shop, known

NODES = {"shop.nodes": "def f(): return 1\n"}


@pytest.fixture
def nodes(shop: Shop) -> Path:
    """The file of the node's module."""
    shop.write(NODES)
    return shop.root / "src/shop/nodes.py"


def test_a_file_that_was_edited_after_the_process_began_is_unknown(
    shop: Shop, nodes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = shop.load()
    began = nodes.stat().st_ctime
    monkeypatch.setattr(files, "_began", lambda: began - 1)
    assert shop.why(function) == f"{nodes} was changed after this process began, which may have loaded it before"
    monkeypatch.setattr(files, "_began", lambda: began)
    assert "was changed after" in shop.why(function)  # within one tick of the clock of files


def test_times_in_full_seconds_are_not_trusted_to_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    known_at = {"a.py": (b"", "", 10_000_000_000), "b.py": (b"", "", 10_000_000_001)}
    monkeypatch.setattr(files, "_signature", lambda file: ())
    monkeypatch.setattr(files, "_early", frozenset)
    monkeypatch.setattr(files, "_read", lambda file, signature: known_at[file])
    monkeypatch.setattr(files, "_began", lambda: 11.5)
    assert files.Files().read("b.py") == (b"", "")
    with pytest.raises(CodeNotKnown, match="was changed after"):
        files.Files().read("a.py")


def test_a_process_begins_before_it_can_load_a_module_and_with_the_clock_that_files_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began, now = files._began(), time.time()
    assert began < now
    monkeypatch.setattr(files, "_OFFSET", files._OFFSET + 60)  # the clock was set back by a minute
    assert files._began() == pytest.approx(began - 60, abs=0.5)
    monkeypatch.setattr(files, "_OFFSET", files._OFFSET - 120)  # or on
    assert files._began() == pytest.approx(began, abs=0.5)


def test_what_was_loaded_first_of_all_is_known_by_when_the_process_started(
    shop: Shop, nodes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = shop.load()
    monkeypatch.setattr(files, "_early", lambda: frozenset({files._signature(str(nodes))[:2]}))
    for started, is_known in [(time.time() + 1, True), (time.time() - 10, False)]:
        monkeypatch.setattr(files, "_started", lambda began, started=started: started)
        assert (type(shop.reader().read(function)).__name__ == "NodeCode") is is_known
    monkeypatch.setattr(files, "_started", lambda began: None)
    assert shop.why(function) == f"{nodes} was loaded before it could be watched"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_a_process_that_was_forked_has_started_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    started = files._started(time.time())
    assert started is not None
    assert started < time.time()
    assert files._started(started - 1) is None
    monkeypatch.setattr(os, "sysconf", lambda name: (_ for _ in ()).throw(OSError))
    assert files._started(time.time()) is None


def test_the_modules_that_come_first_are_those_of_others_than_python(monkeypatch: pytest.MonkeyPatch) -> None:
    files._early.cache_clear()
    try:
        early = files._early()
    finally:
        files._early.cache_clear()
    assert files._signature(os.__file__)[:2] not in early


def test_bytecode_of_an_older_source_is_no_code_that_is_known(shop: Shop, nodes: Path) -> None:
    cache = Path(importlib.util.cache_from_source(str(nodes)))
    before = shop.code()
    # Python takes what it made of a source of the same size in the same second.
    status = nodes.stat()
    nodes.write_text("def f(): return 2\n")
    os.utime(nodes, ns=(status.st_atime_ns, status.st_mtime_ns))
    py_compile.compile(str(nodes), doraise=True)
    nodes.write_text("def f(): return 1\n")
    os.utime(nodes, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert shop.load()() == 2
    assert shop.why() == f"Python runs older code of {nodes}, from its __pycache__: delete that folder"
    py_compile.compile(str(nodes), doraise=True)
    bytecode = cache.read_bytes()
    # What it made of this source, or does not take because it was made of one of another time.
    for content in (bytecode, b"", b"\0" * 16, bytecode[:8] + b"\0" * 4 + bytecode[12:16] + b"N"):
        cache.write_bytes(content)
        os.utime(nodes, ns=(status.st_atime_ns, status.st_mtime_ns))  # it is looked at again
        assert known(shop.reader().read(shop.load())) == before
    function = shop.load()
    cache.write_bytes(bytecode[:16] + b"N")
    os.utime(nodes, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert "Python runs older code" in shop.why(function)


def test_bytecode_that_is_older_than_its_source_is_known_by_what_it_was_checked_by(shop: Shop, nodes: Path) -> None:
    cache = Path(importlib.util.cache_from_source(str(nodes)))
    mode = py_compile.PycInvalidationMode
    function = shop.load()
    for kind, is_known in [(mode.CHECKED_HASH, True), (mode.UNCHECKED_HASH, False)]:
        nodes.write_text("def f(): return 2\n")
        py_compile.compile(str(nodes), doraise=True, invalidation_mode=kind)
        nodes.write_text("def f(): return 1\n")
        os.utime(cache, (time.time() + 10, time.time() + 10))
        assert (type(shop.reader().read(function)).__name__ == "NodeCode") is is_known, kind


def test_a_file_that_cannot_be_read_is_unknown(shop: Shop, nodes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    function = shop.load()
    nodes.unlink()
    assert shop.why(function) == f"{nodes} cannot be read (FileNotFoundError)"
    nodes.write_text("def f(: ...\n")
    assert shop.why(function) == f"{nodes} cannot be parsed"
    signatures = iter([(1, 2), (1, 3)])
    monkeypatch.setattr(files, "_signature", lambda file: next(signatures))
    assert shop.why(function).endswith(" is being changed")


def test_what_is_loaded_from_an_archive_is_unknown(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(shop.root / "tools.zip", "w") as archive:
        archive.writestr("tools.py", "def f(): ...\n")
    monkeypatch.syspath_prepend(shop.root / "tools.zip")
    assert "cannot be read (NotADirectoryError)" in shop.why(shop.load("tools"))


def test_what_is_no_source_lets_the_whole_project_count(shop: Shop, nodes: Path) -> None:
    shop.write({"shop.nodes": "def f():\n    from . import fast\n", "shop.other": "x = 1\n"})
    fast = shop.root / f"src/shop/fast{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    fast.write_bytes(b"one")
    before = shop.code()
    assert before.whole_project == "shop.fast: its imports are not in a source of Python"
    assert "src/shop/other.py" in before.modules
    fast.write_bytes(b"two")
    assert shop.code().digest != before.digest


def test_code_is_known_through_links_and_in_folders_without_init(shop: Shop) -> None:
    (shop.root / "elsewhere").mkdir()
    (shop.root / "elsewhere/far.py").write_text("x = 1\n")
    shop.write({"shop.nodes": "from tools.far import x\ndef f(): ...\n"})
    (shop.root / "src/tools").symlink_to(shop.root / "elsewhere")
    before = shop.code()
    assert sorted(before.modules) == ["shop", "shop.nodes", "tools.far"]
    (shop.root / "elsewhere/far.py").write_text("x = 2\n")
    assert shop.code().digest != before.digest


def test_the_package_counts_by_its_source_where_it_is_installed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    site = shop.root / "env/lib/site-packages"
    shop.write({"shop.nodes": "import tools, alone\ndef f(): ...\n", "tools.help": "", "alone": "x = 1\n"})
    shutil.copytree(shop.root / "src", site)
    shop.clear()
    (site / "Tools_of.Others-2.3.4.dist-info").mkdir()
    (site / "Tools_of.Others-2.3.4.dist-info/RECORD").write_text("tools/__init__.py,,\n")
    (site / "unrelated-1.0.egg-info").touch()
    monkeypatch.syspath_prepend(site)
    found = shop.code()
    # What nobody has installed, a file beside the others, counts by its source as well.
    assert sorted(found.modules) == ["alone", "shop", "shop.nodes"]
    assert found.distributions == {"python": found.distributions["python"], "Tools_of.Others": "2.3"}
