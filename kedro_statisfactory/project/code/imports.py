"""What the source of a module imports, found without running it."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

# Names by which code is imported, or run, that no import statement tells of; as a name, an attribute or an import.
_LOADERS = frozenset(
    "__import__ import_module reload exec_module load_module module_from_spec spec_from_file_location spec_from_loader "
    "SourceFileLoader SourcelessFileLoader ExtensionFileLoader LazyLoader EntryPoint entry_points iter_entry_points "
    "load_entry_point __subclasses__ run_path run_module walk_packages iter_modules load_obj load_object load_class "
    "import_string import_from_string import_object import_item import_by_path locate resolve_name instantiate "
    "get_class get_method".split()
)
# Packages that import, or restore objects of, what data or a text names.
_IMPORTERS = frozenset(
    "runpy pkgutil imp zipimport pydoc pickle _pickle cloudpickle dill shelve jsonpickle lazy_loader apipkg stevedore "
    "hydra".split()
)
_RUNNERS = frozenset({"exec", "eval"})  # built-in functions; methods of the same names are something else
_MAY_HIDE = re.compile(rb"\b(?:exec|eval|modules|joblib|" + "|".join([*_LOADERS, *_IMPORTERS]).encode() + rb")\b")


@dataclass(frozen=True)
class Imports:
    """What a module imports.

    Attributes:
        modules: Absolute names of modules that are imported.
        members: Module and name, of what is taken from modules: an attribute, or a module below that.
        stars: Modules of which all is taken.
        bound: What names of the module are bound to by its imports: dotted names that may be modules. The name is empty
            where a call has imported it.
        named: Dotted names below the package of the project that stand in texts.
        hidden: What imports, or runs, code that cannot be followed, and in which line; ``None``: nothing does.
    """

    modules: frozenset[str] = frozenset()
    members: frozenset[tuple[str, str]] = frozenset()
    stars: frozenset[str] = frozenset()
    bound: frozenset[tuple[str, str]] = frozenset()
    named: frozenset[str] = frozenset()
    hidden: str | None = None


@dataclass
class _Found:
    package: str
    modules: set[str] = field(default_factory=set)
    members: set[tuple[str, str]] = field(default_factory=set)
    stars: set[str] = field(default_factory=set)
    bound: set[tuple[str, str]] = field(default_factory=set)

    def add(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.modules.add(alias.name)
                self.bound.add((alias.asname, alias.name) if alias.asname else 2 * (alias.name.split(".")[0],))
            return
        origin = absolute(node.module or "", node.level, self.package)
        self.modules.add(origin)
        for alias in node.names:
            if alias.name == "*":
                self.stars.add(origin)
            else:
                self.members.add((origin, alias.name))
                self.bound.add((alias.asname or alias.name, f"{origin}.{alias.name}"))


def absolute(name: str, level: int, package: str) -> str:
    """The absolute name of a module that is named relative to a package.

    >>> absolute("tables", 2, "shop.nodes")
    'shop.tables'
    """
    if not level:
        return name
    base = package.split(".")[: len(package.split(".")) - level + 1]
    return ".".join([*base, *([name] if name else [])])


@functools.lru_cache(maxsize=4096)
def imports_of(source: bytes, name: str, is_package: bool, package: str) -> Imports:
    """What a module imports, anywhere in it.

    Args:
        source: Its source.
        name: Its absolute name.
        is_package: Whether it is the ``__init__`` of a package.
        package: The package of the project; empty: it has none.

    Raises:
        SyntaxError, ValueError: It is not Python.
    """
    tree = ast.parse(source)
    found = _Found(name if is_package else name.rpartition(".")[0])
    for statement in _statements(tree):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            found.add(statement)
    hidden = None
    if _MAY_HIDE.search(source):
        hidden = next(filter(None, (_hides(node, found) for node in _linked(tree))), None)
    named = re.findall(rf"['\"]({re.escape(package)}(?:\.\w+)+)".encode(), source) if package else ()
    return Imports(
        frozenset(found.modules),
        frozenset(found.members),
        frozenset(found.stars),
        frozenset(found.bound),
        frozenset(each.decode() for each in named),
        hidden,
    )


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """All statements that may run: what is there for type checkers alone never does."""
    waiting: list[ast.AST] = [*tree.body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.stmt):
            yield node
        parts = ("orelse",) if isinstance(node, ast.If) and _is_for_types(node.test) else _BLOCKS
        for part in parts:
            waiting += getattr(node, part, ())


_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def _is_for_types(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", ""))


def _linked(tree: ast.Module) -> Iterator[ast.AST]:
    """All nodes; what is called knows its call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            node.func.call = node  # type: ignore[attr-defined]
        yield node


def _hides(node: ast.AST, found: _Found) -> str | None:
    """What a node of the tree imports or runs in a way that cannot be followed."""
    line = getattr(node, "lineno", 0)
    if isinstance(node, ast.Import | ast.ImportFrom):
        return _hidden_import(node, line)
    if isinstance(node, ast.Name):
        name = node.id if node.id in _LOADERS | _RUNNERS else ""
    elif isinstance(node, ast.Attribute):
        name = node.attr if node.attr in _LOADERS or _is_reached_by_attribute(node) else ""
    else:
        return None
    if not name or (name in ("import_module", "__import__") and _follow(getattr(node, "call", None), found)):
        return None
    return f"`{name}` in line {line}"


def _is_reached_by_attribute(node: ast.Attribute) -> bool:
    owner = getattr(node.value, "id", "")
    return (owner, node.attr) in {("sys", "modules"), ("joblib", "load")} or (
        owner == "builtins" and node.attr in _RUNNERS
    )


def _hidden_import(node: ast.Import | ast.ImportFrom, line: int) -> str | None:
    origin = "" if isinstance(node, ast.Import) or node.level else node.module or ""
    for alias in node.names:
        full = f"{origin}.{alias.name}".lstrip(".")
        is_renamed = alias.asname not in (None, alias.name)
        if full.split(".")[0] in _IMPORTERS or full in ("sys.modules", "joblib.load", "builtins.exec", "builtins.eval"):
            return f"`{full}` in line {line}"
        if origin and alias.name in _LOADERS and (alias.name != "import_module" or is_renamed):
            return f"`{alias.name}` in line {line}"
        if is_renamed and full in ("sys", "builtins", "joblib"):
            return f"`{full}` by another name in line {line}"
    return None


def _follow(call: ast.Call | None, found: _Found) -> bool:
    """Follow an import by a call whose arguments stand there; gives whether they do."""
    if call is None or call.keywords or not 1 <= len(call.args) <= 2 or _is_of_more(call):
        return False
    name, anchor = [getattr(each, "value", None) for each in call.args] + [None] * (2 - len(call.args))
    if not isinstance(name, str) or not isinstance(call.args[0], ast.Constant):
        return False
    level = len(name) - len(name.lstrip("."))
    if len(call.args) == 2 and not isinstance(anchor, str):
        if getattr(call.args[1], "id", "") != "__package__":
            return False
        anchor = found.package
    if level and not anchor:
        return False
    origin = absolute(name.lstrip("."), level, str(anchor))
    found.modules.add(origin)
    found.bound.add(("", origin))
    return True


def _is_of_more(call: ast.Call) -> bool:
    """Whether a second argument means something else: that of the built-in function is a namespace."""
    return getattr(call.func, "id", "") == "__import__" and len(call.args) > 1


def uses(source: bytes, name: str) -> list[tuple[str, ...]]:
    """How a name is used in a module: the attributes that are asked of it, one after the other, each time."""
    inner: set[int] = set()
    found = []
    for node in ast.walk(ast.parse(source)):
        if id(node) in inner:
            continue
        chain: list[str] = []
        while isinstance(node, ast.Attribute):
            chain.append(node.attr)
            inner.add(id(node))
            node = node.value
        if isinstance(node, ast.Name) and node.id == name:
            inner.add(id(node))
            found.append(tuple(reversed(chain)))
    return found
