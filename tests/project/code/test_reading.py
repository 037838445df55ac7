"""The code of a node: which module has changed, which versions count, and nothing is run for it."""

from __future__ import annotations

import platform
import sys

import pytest

from kedro_statisfactory.project.code import CodeReader, node_code
from kedro_statisfactory.project.code.unknown import CodeNotKnown
from tests.project.code.conftest import Shop, known


def test_the_code_tells_which_module_has_changed(shop: Shop) -> None:
    shop.write({"shop.nodes": "from .tables import x\ndef f(): ...\n", "shop.tables": "x = 1\n"})
    before = shop.code()
    assert node_code(shop.load(), project=shop.root, package="shop") == before
    shop.write({"shop.tables": "x = 2\n"})
    after = shop.code()
    assert [name for name in before.modules if before.modules[name] != after.modules[name]] == ["shop.tables"]
    shop.write({"shop.tables": "x = 1\n"})
    assert shop.code() == before


def test_no_module_is_loaded_to_be_read(shop: Shop) -> None:
    shop.write({"shop.nodes": "def f():\n    import shop.tables, missing\n", "shop.tables": "raise RuntimeError\n"})
    found = shop.code()
    assert "shop.tables" in found.modules
    assert "shop.tables" not in sys.modules
    # What is missing, and may be there tomorrow, counts as well.
    assert found.modules["missing"] == "absent"


def test_versions_count_as_the_setting_says(shop: Shop) -> None:
    shop.write({"shop.nodes": "import yaml\ndef f(): ...\n"})
    function = shop.load()
    ignored, minor, exact = (known(shop.reader(versions=each).read(function)) for each in ("ignore", "minor", "exact"))
    assert ignored.distributions == {}
    assert sorted(minor.distributions) == sorted(exact.distributions) == ["python", "pyyaml"]
    assert exact.distributions["python"] == platform.python_version()
    assert exact.distributions["python"].startswith(f"{minor.distributions['python']}.")
    assert ignored.digest == minor.digest == exact.digest


def test_a_project_whose_files_cannot_be_read_has_no_digest(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise CodeNotKnown("nobody may read it")

    assert shop.reader().read_project() is not None
    monkeypatch.setattr(CodeReader, "_whole_project", refuse)
    assert shop.reader().read_project() is None


def test_where_imports_cannot_be_followed_the_versions_of_all_that_is_installed_count(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write({"shop.nodes": "import importlib\ndef f(name): return importlib.import_module(name)\n"})

    def install(version: str) -> dict[str, str]:
        site = shop.root / version / "site-packages"
        (site / f"gadget-{version}.dist-info").mkdir(parents=True)
        monkeypatch.setattr(sys, "path", [str(site), *sys.path])
        return dict(shop.code().distributions)

    before = install("1.0.0")
    assert install("1.0.1") == before
    assert install("1.2.0") != before
    assert known(shop.reader(versions="ignore").read(shop.load())).distributions == {}
