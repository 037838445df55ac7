"""What a node reaches by imports counts, however they are written; what it never imports does not."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from kedro_statisfactory.project.code import CodeReader, modules
from tests.project.code.conftest import Shop, known

FAR = "shop.deep.far"
# How a node reaches `shop.deep.far`, or does not: its source, other modules, and modules that somebody else has loaded.
REACHED: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "at the top": ("import shop.deep.far\ndef f(): return shop.deep.far.x\n", {}, ()),
    "by another name": ("import shop.deep.far as far\ndef f(): return far.x\n", {}, ()),
    "in a function": ("def f():\n    from shop.deep.far import x\n    return x\n", {}, ()),
    "in a condition": (
        "try:\n    import speed\nexcept ImportError:\n    from .deep import far\ndef f(): ...\n",
        {},
        (),
    ),
    "in a match": ("def f(x):\n    match x:\n        case 1:\n            import shop.deep.far\n", {}, ()),
    "relative": ("from .deep.far import x\ndef f(): ...\n", {}, ()),
    "from a package": ("from . import deep\ndef f(): return deep.far.x\n", {}, ("shop.deep.far",)),
    "by the package's own import": (
        "import shop.deep\ndef f(): ...\n",
        {"shop.deep.__init__": "from . import far"},
        (),
    ),
    "by another module": ("from tools import help\ndef f(): ...\n", {"tools.help": "import shop.deep.far"}, ()),
    "by all of a package": ("from .deep import *\ndef f(): ...\n", {"shop.deep.__init__": "__all__ = ['far']"}, ()),
    "as an attribute": ("import shop\ndef f(): return shop.deep.far.x\n", {}, ("shop.deep.far",)),
    "as an attribute of what another module holds": (
        "from . import held\ndef f(): return held.shop.deep.far.x\n",
        {"shop.held": "import shop"},
        ("shop.deep.far",),
    ),
    "through a name that another module has": (
        "from .held import package\ndef f(): return package.far.x\n",
        {"shop.held": "import shop.deep as package"},
        ("shop.deep.far",),
    ),
    "by a call": ("import importlib\nf = lambda: importlib.import_module('shop.deep.far').x\n", {}, ()),
    "by a relative call": (
        "from importlib import import_module\ndef f(): import_module('.deep.far', __package__)\n",
        {},
        (),
    ),
    "by a call relative to another package": (
        "from importlib import import_module\ndef f(): import_module('.far', 'shop.deep')\n",
        {},
        (),
    ),
    "by the built-in function": ("def f(): __import__('shop.deep.far')\n", {}, ()),
    "by a text": ("from tools import help\ndef f(): help.call('shop.deep.far.x.y')\n", {"tools.help": ""}, ()),
    "as a plugin": (
        "from .plugins import ALL\ndef f(): return [each() for each in ALL['x']]\n",
        {"shop.plugins": "ALL = {}\n", FAR: "from shop.plugins import ALL\nclass P: ...\nALL['x'] = [P]\n"},
        ("shop.deep.far",),
    ),
    "as a plugin of a class": (
        "class Base:\n    known = []\ndef f(): return Base.known\n",
        {FAR: "from shop.nodes import Base\nclass P: ...\nBase.known.append(P())\n"},
        ("shop.deep.far",),
    ),
    "as one way of a generic function": (
        "import functools\n@functools.singledispatch\ndef f(x): ...\n",
        {FAR: "from shop.nodes import f\n@f.register\ndef _(x: int): ...\n"},
        ("shop.deep.far",),
    ),
    "as what somebody put there": (
        "def f(): return g()\n",
        {FAR: "import functools\nimport shop.nodes\ndef g(x): ...\nshop.nodes.g = functools.partial(g, 1)\n"},
        ("shop.deep.far",),
    ),
    "as a module that somebody put there": (
        "def f(): return g.x\n",
        {FAR: "import shop.nodes as nodes\nfrom . import far\nnodes.g = far\n"},
        ("shop.deep.far",),
    ),
}
NOT_REACHED: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "nobody imports it": ("def f(): ...\n", {}, ()),
    "all of a module of Python is imported": ("from math import *\ndef f(): ...\n", {}, ()),
    "a module of another system is imported": ("def f():\n    import winreg, msvcrt, _scproxy\n", {}, ()),
    "others import it": ("def f(): ...\n", {}, ("shop.deep.far",)),
    "its package alone is imported": ("from shop.deep import y\ndef f(): ...\n", {"shop.deep.__init__": "y = 1"}, ()),
    "another attribute is used": ("import shop\ndef f(): shop.x\n", {"shop.__init__": "x = 1"}, ("shop.deep.far",)),
    "another module of the package is used": (
        "import shop.deep.near\ndef f(): return shop.deep.near.x\n",
        {"shop.deep.near": "x = 1"},
        ("shop.deep.far",),
    ),
    "for types alone": (
        "import typing\nif typing.TYPE_CHECKING:\n    import shop.deep.far\nelse:\n    x = 1\ndef f(): ...\n",
        {},
        ("shop.deep.far",),
    ),
    "a method is called as what runs code": ("def f(x): return x.eval('a')\n", {}, ()),
    "it holds too much to be plugins": (
        "LONG = []\ndef f(): ...\n",
        {FAR: "from shop.nodes import LONG\nclass P: ...\nLONG += [P] * 2000\n"},
        ("shop.deep.far",),
    ),
}


def changes(shop: Shop, source: str, modules: dict[str, str], also: tuple[str, ...]) -> bool:
    """Whether a change of the far module changes the code of the node; without the whole project."""
    shop.clear()
    shop.write({FAR: "x = 1\n", "shop.nodes": source, **modules})
    before = shop.code(*also)
    assert before.whole_project is None
    shop.write({FAR: modules.get(FAR, "x = 1\n") + "# changed\n"})
    after = shop.code(*also)
    changed = {name for name in after.modules if after.modules[name] != before.modules.get(name)}
    assert changed == ({"shop.deep.far"} if after.digest != before.digest else set())
    return after.digest != before.digest


def test_what_is_reached_counts(shop: Shop) -> None:
    assert [name for name, case in REACHED.items() if not changes(shop, *case)] == []


def test_what_is_not_reached_does_not_count(shop: Shop) -> None:
    assert [name for name, case in NOT_REACHED.items() if changes(shop, *case)] == []


HIDDEN = {
    "import importlib\ndef f(x): importlib.import_module(x)\n": "`import_module` in line 2",
    "from importlib import import_module\ndef f(): import_module(name='a')\n": "`import_module` in line 2",
    "from importlib import import_module\ndef f(x): import_module('.a', x)\n": "`import_module` in line 2",
    "from importlib import import_module as load\ndef f(x): load(x)\n": "`import_module` in line 1",
    "import importlib\nload = importlib.import_module\ndef f(x): load(x)\n": "`import_module` in line 2",
    "from importlib import import_module\ndef f(): import_module('.a', '')\n": "`import_module` in line 2",
    "def f(x): __import__(x)\n": "`__import__` in line 1",
    "def f(x): __import__('a', x)\n": "`__import__` in line 1",
    "def f(x): exec(x)\n": "`exec` in line 1",
    "import builtins\ndef f(x): builtins.eval(x)\n": "`eval` in line 2",
    "import builtins as b\ndef f(x): b.eval(x)\n": "`builtins` by another name in line 1",
    "import sys\ndef f(x): sys.modules[x]\n": "`modules` in line 2",
    "from sys import modules\ndef f(x): modules[x]\n": "`sys.modules` in line 1",
    "import pickle\ndef f(x): pickle.loads(x)\n": "`pickle` in line 1",
    "import joblib\ndef f(x): joblib.load(x)\n": "`load` in line 2",
    "from kedro.utils import load_obj\ndef f(x): load_obj(x)\n": "`load_obj` in line 1",
    "def f(x): x.__subclasses__()\n": "`__subclasses__` in line 1",
    "import shop\ndef f(x): getattr(shop, x)\n": "`shop` as a value",
    "from . import held\ndef f(x): getattr(held, x)\n": "`shop.held` as a value",
    "from .held import *\ndef f(): ...\n": "`shop.held.*`, which has packages of the project",
    "import importlib\ndef f(): importlib.import_module('shop.deep')\n": "`shop.deep` as a value",
}


def test_where_imports_cannot_be_followed_the_whole_project_counts(shop: Shop) -> None:
    shop.write({FAR: "x = 1\n", "shop.held": "import shop as package\n"})
    for number, (source, why) in enumerate(HIDDEN.items()):
        shop.write({"shop.nodes": source})
        before = shop.code()
        assert before.whole_project == f"shop.nodes: {why}", source
        shop.write({FAR: f"y = {number}\n"})
        assert shop.code().digest != before.digest, source


def test_the_whole_project_is_what_can_be_imported(shop: Shop) -> None:
    shop.write({"shop.nodes": "def f(x): exec(x)\n", "shop.other": "", "tools.help": ""})
    for path in [
        "src/data.csv",
        "data/01_raw/x.py",
        ".venv/lib/x.py",
        "env/pyvenv.cfg",
        "env/x.py",
        "lib/site-packages/x.py",
    ]:
        (shop.root / path).parent.mkdir(parents=True, exist_ok=True)
        (shop.root / path).touch()
    (shop.root / "src/loop").symlink_to(shop.root / "src")
    found = shop.code()
    assert sorted(found.modules) == [
        "shop",
        "shop.nodes",
        "src/shop/other.py",
        "src/tools/__init__.py",
        "src/tools/help.py",
    ]


def test_nodes_that_depend_on_the_whole_project_depend_on_the_same(shop: Shop) -> None:
    shop.write({"shop.nodes": "def f(x): exec(x)\n", "shop.other": "def f(x): exec(x)\n"})
    reader = shop.reader()
    shop.load(also=("shop.other",))
    functions = [sys.modules[name].f for name in ("shop.nodes", "shop.other")]
    one, other = [known(reader.read(function)) for function in functions]
    assert set(one.modules.values()) == set(other.modules.values())
    assert one.digest != other.digest


def test_a_project_that_is_too_large_to_count_as_a_whole_is_unknown(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write({"shop.nodes": "def f(x): exec(x)\n"})
    monkeypatch.setattr(modules, "_MOST_FILES", 2)
    assert "has more than 2 files of Python or folders" in shop.why()


def test_a_folder_that_cannot_be_listed_has_no_modules(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write({"shop.nodes": "def f(x): exec(x)\n", "tools.help": ""})
    listed = os.scandir

    def list_some(folder: str) -> Any:
        if folder.endswith("tools"):
            raise PermissionError
        return listed(folder)

    monkeypatch.setattr(os, "scandir", list_some)
    assert sorted(shop.code().modules) == ["shop", "shop.nodes"]


def test_a_text_that_names_no_module_names_nothing(shop: Shop) -> None:
    shop.write({"shop.nodes": "def f(): return 'ghost.module'\n"})
    found = known(CodeReader(shop.root, "ghost").read(shop.load()))
    assert sorted(found.modules) == ["shop", "shop.nodes"]
