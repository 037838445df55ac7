"""A function is told from others of its module by what it was made with; where that cannot be told, it is unknown."""

from __future__ import annotations

import os.path
import sys
import threading
from types import ModuleType
from typing import Any

import pytest
from sklearn.model_selection import train_test_split

from tests.project.code.conftest import Shop, known

MADE = """
import enum, functools, re, datetime, pathlib, decimal

class Kind(enum.Enum):
    A = 1
    B = 2

class Scale:
    def __init__(self, by): self.by = by
    def __call__(self, x): return x * self.by
    def run(self, x): return x * self.by
    @classmethod
    def make(cls, x): return cls
    @staticmethod
    def still(x): return x

class Slots:
    __slots__ = ("by",)
    def __init__(self, by): self.by = by
    def __call__(self): ...

class Named(dict):
    def __call__(self): ...

class Restored(Scale):
    def __reduce__(self): return (Restored, (1,))

class Stated(Scale):
    def __getstate__(self): return {}

def f(x, by=1): return x
def g(x, by=1): return x
once = functools.lru_cache(f)
def closure(value):
    def inner(x): return value
    return inner
def default(value): return lambda x, value=value: x
def keyword(value):
    def inner(x, *, value=value): return x
    return inner
def attribute(value):
    def inner(x): return inner.value
    inner.value = value
    return inner
def itself(value):
    def inner(x): return inner(value)
    return inner
def empty():
    if False:
        later = 1
    return lambda: later
def local():
    class Local: ...
    return closure(Local)
two = [lambda x: x + 1, lambda x: x - 1]
nested = [lambda x: [y + 1 for y in x], lambda x: [y - 1 for y in x]]
sets = [lambda x: x in {"a", "b", "c"}, lambda x: x in {"a", "b", "d"}]
"""


@pytest.fixture
def made(shop: Shop) -> Any:
    """A module that makes functions."""
    shop.write({"shop.nodes": MADE, "shop.other": "def f(): ...\n"})
    shop.load()
    return sys.modules["shop.nodes"]


def test_functions_that_differ_in_what_they_were_made_with_are_different(shop: Shop, made: Any) -> None:
    plain = [
        None,
        True,
        1,
        1.0,
        "1",
        b"1",
        1j,
        (1,),
        [1],
        {1},
        frozenset({1}),
        {1: 2},
        {2: 1},
        ...,
        {"a": [{"b": (1, 2)}]},
    ]
    more = [
        made.Kind.A,
        made.Kind.B,
        made.re.compile("a"),
        made.re.compile("a", made.re.I),
        made.datetime.date(2026, 1, 1),
    ]
    more += [made.pathlib.PurePosixPath("a"), made.decimal.Decimal("1.0"), made.decimal.Decimal("1.00"), range(2), made]
    more += [
        made.Scale,
        made.Slots,
        made.Scale(1),
        made.Scale(2),
        made.Slots(1),
        made.Slots(2),
        made.Named(a=1),
        made.f,
        made.g,
    ]
    more += [
        staticmethod(made.f),
        classmethod(made.f),
        len,
        sum,
        "a".join,
        "b".join,
        made.functools.partial(made.f, 1),
        made.functools.partial(made.f, 2),
    ]
    functions = [
        make(value)
        for make in (made.closure, made.default, made.keyword, made.attribute, made.itself)
        for value in (*plain, *more)
    ]
    functions += [
        made.f,
        made.g,
        made.empty(),
        *made.two,
        *made.nested,
        *made.sets,
        made.Scale,
        made.Scale(1),
        made.Scale(2),
    ]
    functions += [
        made.Scale(1).run,
        made.Scale(2).run,
        made.Scale.make,
        made.Scale.still,
        made.Slots(1),
        made.Slots(2),
        made.Named(a=1),
        made.Named(a=2),
    ]
    functions += [
        made.functools.partial(made.f, 1),
        made.functools.partial(made.f, by=1),
        made.functools.partial(made.g, 1),
        made.once,
        staticmethod(made.f),
        classmethod(made.f),
        len,
        sum,
    ]
    reader, again = shop.reader(), shop.reader()
    digests = [known(reader.read(function)).digest for function in functions]
    assert digests == [known(again.read(function)).digest for function in functions]
    assert len(set(digests)) == len(digests)


def test_a_set_is_the_same_in_whatever_order_a_process_has_it(shop: Shop, made: Any) -> None:
    one, other = [
        made.closure(set(names)) for names in ([f"n{i}" for i in range(20)], [f"n{i}" for i in reversed(range(20))])
    ]
    assert shop.reader().read(one) == shop.reader().read(other)


def test_a_function_that_is_what_its_module_names_may_change_what_it_has_captured(shop: Shop) -> None:
    remember = "def remember(f):\n    known = {}\n    def inner(): return known.setdefault(1, object())\n"
    shop.write({"tools.help": f"{remember}    return inner\n"})
    with_name = (
        "from tools.help import remember\n@remember\ndef f(): ...\nf.__qualname__, f.__module__ = 'f', __name__\n"
    )
    shop.write({"shop.nodes": with_name})
    function = shop.load()
    before = known(shop.reader().read(function))
    function()
    assert known(shop.reader().read(function)) == before
    assert sorted(before.modules) == ["shop", "shop.nodes", "tools", "tools.help"]


TAKE = """
import collections, dataclasses, enum, functools, json, os, pathlib, re
N = os.environ["SHOP_N"]
Kind = enum.Enum("Kind", "n1 n2")
Bits = enum.Flag("Bits", "n1 n2 n3")
Pair = collections.namedtuple("Pair", "x y")
Other = collections.namedtuple("Unnamed", "x")
class Loose(Pair): ...
@dataclasses.dataclass(frozen=True)
class Frozen:
    x: object
@dataclasses.dataclass
class Open:
    x: object
class Below(Frozen): ...
def n1(x): ...
def n2(x): ...
class C1: ...
class C2: ...
def closure(value): return lambda: value
"""
COUNT = [
    "x=N",
    "x=(1, N)",
    "*, x=frozenset({N})",
    "x=pathlib.Path(N)",
    "x=Kind['n' + N]",
    "x=Bits['n' + N] | Bits.n3",
    "x=globals()['n' + N]",
    "x=globals()['C' + N]",
    "x=re.compile(N)",
    "x=Pair(N, [])",
    "x=Frozen(N)",
    "x=functools.partial(n1, N)",
    "x=functools.partial(n1, x=N)",
    "x=[len, json.dumps][int(N) - 1]",
    "x=N.join",
    "x=closure(N)",
    "x=(lambda x=N: x)",
    "x=(lambda *, x=N: x)",
    "x=(N, [], object(), closure(dict))",
]
CHANGEABLE = [
    "x=[N]",
    "x={N: 1}",
    "x={N}",
    "x=(object(), {N: 1})",
    "x=Pair([N], {})",
    "x=Open(N)",
    "x=Below(N)",
    "x=Frozen([N])",
    "x=[N].append",
    "x=functools.partial(n1, [N])",
    "x=closure([N])",
]


def _digests(shop: Shop, monkeypatch: pytest.MonkeyPatch, source: str) -> tuple[str, ...]:
    """Digests of the node with a variable of two values, and the first again."""
    shop.write({"shop.nodes": f"{TAKE}{source}\n"})
    found = []
    for value in ("1", "2", "1"):
        monkeypatch.setenv("SHOP_N", value)
        found.append(shop.code().digest)
    return tuple(found)


@pytest.mark.parametrize("argument", [*COUNT, *CHANGEABLE])
def test_defaults_count_that_cannot_change_and_were_made_of_more_than_the_source(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, argument: str
) -> None:
    first, other, again = _digests(shop, monkeypatch, f"def f({argument}): ...")
    assert first == again
    assert (first != other) is (argument in COUNT)


@pytest.mark.parametrize(
    "source",
    [
        "class F:\n    def __call__(self, x=N): ...\nf = F()",
        "class F:\n    def __call__(self, *, x=N): ...\nf = functools.partial(F())",
        "class F:\n    def run(self, x=N): ...\nf = F().run",
        "class f:\n    def __init__(self, x=N): ...",
        "class f:\n    def __new__(cls, x=N): ...",
        "@dataclasses.dataclass\nclass f:\n    x: str = N",
        "f = collections.namedtuple('f', 'x', defaults=[N])",
        "def wrap(g):\n    def f(): return g()\n    f.__qualname__ = 'f'\n    return f\n@wrap\ndef f(x=N): ...",
        "def g(x=N): ...\ndef f(x=g): ...",
    ],
)
def test_defaults_count_of_whatever_is_called(shop: Shop, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    first, other, again = _digests(shop, monkeypatch, source)
    assert first == again != other


def test_a_default_that_cannot_be_told_leaves_the_function_known(shop: Shop) -> None:
    deep = "x = ()\nfor _ in range(100): x = (x,)\n"
    for value in ("x", "Other(1)", "Loose(1, 2)", "type('T', (), {})", "iter([1])"):
        shop.write({"shop.nodes": f"{TAKE}{deep}def f(x={value}): ...\n".replace('os.environ["SHOP_N"]', "1")})
        assert shop.code().digest == shop.code().digest


PATHS = """
import functools, os, pathlib
HERE = pathlib.Path(__file__).parents[2]
def f(x=HERE / "q.sql"): ...
def g(x=str(HERE / "q.sql")): ...
def closure(value): return lambda: value
def call(x): ...
class Query:
    def __init__(self, path): self.path = path
    def __call__(self): ...
def made(path): return [closure(path), functools.partial(call, path), functools.partial(call, x=path), Query(path)]
below = [f, g, *made(HERE / "q.sql"), *made(str(HERE / "q.sql")), *made(HERE)]
others = [each for path in ("p.sql", "a/../q.sql") for each in made(HERE / path)]
relative = [each for path in ("q.sql", "/q.sql") for each in [*made(path), *made(pathlib.Path(path))]]
out = [each for path in ("../q.sql", "a/../../q.sql") for each in [*made(HERE / path), *made(f"{HERE}/{path}")]]
out += made(f"{HERE}-more/q.sql")
"""


def test_clones_agree_on_paths_in_the_project_and_on_no_others(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[dict[str, list[str]]] = []
    (shop.root / "link").symlink_to(shop.root / "two")
    for name in ("one", "two", "link"):
        clone = Shop(shop.root / name)
        clone.write({"shop.nodes": PATHS})
        monkeypatch.syspath_prepend(str((clone.root / "src").resolve()))
        clone.load()
        module, reader = sys.modules["shop.nodes"], clone.reader()
        names = ("below", "others", "relative", "out")
        found.append({each: [known(reader.read(f)).digest for f in getattr(module, each)] for each in names})
    one, two, link = found
    for each in ("below", "others", "relative"):
        assert one[each] == two[each] == link[each]
    assert not set(one["out"]) & set(two["out"]), "they are other files"
    everything = [digest for digests in one.values() for digest in digests]
    assert len(set(everything)) == len(everything)


def test_a_default_in_which_a_function_remembers_something_is_no_change(shop: Shop) -> None:
    shop.write({"shop.nodes": "def f(x=1, known={}): return known.setdefault(x, 2)\n"})
    function = shop.load()
    before = known(shop.reader().read(function))
    function()
    assert known(shop.reader().read(function)) == before


def test_what_a_function_in_the_place_of_another_has_captured_counts_where_nothing_imports_it(shop: Shop) -> None:
    wrap = "def wrap(g):\n    def f(): return g()\n    f.__qualname__, f.__module__ = 'f', 'shop.nodes'\n    return f\n"
    shop.write({"tools.wrap": wrap, "tools.inner": "def g(): ...\n", "shop.nodes": "def f(): ...\n"})
    shop.load(also=("tools.wrap", "tools.inner"))
    modules = sys.modules
    modules["shop.nodes"].f = modules["tools.wrap"].wrap(modules["tools.inner"].g)  # type: ignore[attr-defined]
    found = known(shop.reader().read(modules["shop.nodes"].f))
    assert {"shop.nodes", "tools.wrap", "tools.inner"} < set(found.modules)


def test_a_function_of_another_distribution_counts_by_its_version(shop: Shop) -> None:
    found = known(shop.reader(versions="exact").read(train_test_split))
    assert found.modules == {}
    assert sorted(found.distributions) == ["python", "scikit_learn"]
    assert known(shop.reader().read(os.path.join)).modules == {}


def test_what_cannot_be_told_is_unknown(shop: Shop, made: Any) -> None:
    for value in (threading.Lock(), made.Restored(1), made.Stated(1), object.__new__(type("Mine", (), {})), iter([1])):
        assert "which is no plain value" in shop.why(made.closure(value)) or "is none that" in shop.why(
            made.closure(value)
        )
    assert "is none that its module names" in shop.why(made.local())
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    assert "nested too deeply" in shop.why(made.closure(deep))


def test_what_comes_from_no_file_is_unknown(shop: Shop, made: Any) -> None:
    exec("def h(): ...\n", vars(made))
    function, made.h = made.h, None
    assert "was made by code that is in no file" in shop.why(function)
    elsewhere: dict[str, Any] = {"__name__": "shop.nodes"}
    exec("def h(): ...\n", elsewhere)
    assert "comes from no module that is loaded" in shop.why(elsewhere["h"])
    script = vars(sys.modules["__main__"])
    exec("def statisfactory_h(): ...\n", script)
    assert "comes from a notebook" in shop.why(script.pop("statisfactory_h"))
    sys.modules["tools"] = ModuleType("tools")
    exec("def h(): ...\n", vars(sys.modules["tools"]))
    assert shop.why(vars(sys.modules["tools"])["h"]) == "the module 'tools' has no file"
