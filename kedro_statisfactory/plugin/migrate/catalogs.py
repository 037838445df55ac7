"""The catalogs of a project, as its own config loader finds and resolves them."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from kedro_statisfactory.plugin.migrate.judging import PARAMETER

_WITHOUT_DEFAULT = re.compile(r"\$\{runtime_params:\s*([^,}\s]+)\s*\}")
#: What an environment says of each of its entries, by their names.
Entries = dict[str, Any]


@dataclass(frozen=True)
class CatalogFile:
    """A file of a catalog.

    Attributes:
        path: Where it is.
        environment: To which it belongs.
        name: The path as messages call it.
        text: What it holds.
    """

    path: Path
    environment: str
    name: str
    text: str


class Catalogs:
    """All catalogs of a project.

    Args:
        project: Its folder.

    Raises:
        click.ClickException: One of them cannot be read.
    """

    def __init__(self, project: Path) -> None:
        from kedro.framework.project import settings

        self._project = project
        self._folder = project / settings.CONF_SOURCE
        self._kind: Any = settings.CONFIG_LOADER_CLASS
        self._args: dict[str, Any] = dict(settings.CONFIG_LOADER_ARGS)
        self.base: str = self._args.get("base_env") or ""
        self.is_soft = (self._args.get("merge_strategy") or {}).get("catalog") == "soft"
        default: str = self._args.get("default_run_env") or self.base
        self.environments = self._environments()
        self.files = [file for each in self.environments for file in self._files_of(each, "catalog")]
        #: Those in which one can run; entries of the base are the same or others in each.
        self.runs = [each for each in {default: 0, **dict.fromkeys(self.environments)} if each != self.base] or [
            self.base
        ]

    def _environments(self) -> list[str]:
        """Names of the folders that hold environments, that of the base first."""
        if not self.base or not self._folder.is_dir():
            return [self.base]
        found = [each.name for each in sorted(self._folder.iterdir()) if each.is_dir() and each.name[0] != "."]
        return [self.base, *(each for each in found if each != self.base)]

    @functools.cached_property
    def _patterns(self) -> dict[str, list[str]]:
        with tempfile.TemporaryDirectory() as empty:
            for each in {self.base, *self.environments, self._args.get("default_run_env") or ""}:
                (Path(empty) / each).mkdir(exist_ok=True)
            patterns: dict[str, list[str]] | None = getattr(self._loader(empty, self.base, {}), "config_patterns", None)
        if patterns is None:
            raise click.ClickException(f"{self._kind.__name__} does not say where catalogs are: use OmegaConfigLoader.")
        return patterns

    def _loader(self, folder: str, environment: str, parameters: Mapping[str, Any]) -> Any:
        return self._kind(conf_source=folder, env=environment, runtime_params=dict(parameters), **self._args)

    def _files_of(self, environment: str, key: str) -> Iterator[CatalogFile]:
        """The files of an environment that Kedro reads, in the order of their names."""
        import fsspec

        disk, folder = fsspec.filesystem("file"), self._folder / environment
        found = {Path(path) for pattern in self._patterns[key] for path in disk.glob((folder / pattern).as_posix())}
        for path in sorted(found):
            is_hidden = any(part[0] == "." for part in Path(os.path.relpath(path, self._folder)).parts)
            if path.is_file() and path.suffix in (".yml", ".yaml", ".json") and not is_hidden:
                yield self._read(path, environment)

    def _read(self, path: Path, environment: str) -> CatalogFile:
        from omegaconf import OmegaConf

        name = os.path.relpath(path, self._project)
        try:
            text = path.read_bytes().decode()
            _refuse_odd(OmegaConf.load(io.StringIO(text)))
        except Exception as error:  # whatever YAML and OmegaConf make of it
            raise click.ClickException(f"nothing is changed, because {name} cannot be read: {error}") from error
        return CatalogFile(path, environment, name, text)

    def resolved(self, texts: Mapping[Path, str]) -> dict[str, Entries]:
        """What Kedro makes of the catalogs, by the environments in which one can run.

        Args:
            texts: What some of the files would hold.

        Raises:
            Exception: Whatever the loader raises, where something cannot be resolved.
        """
        with tempfile.TemporaryDirectory(prefix="statisfactory-") as name:
            folder = Path(name)
            for each in {self.base, *self.environments, *self.runs}:
                (folder / each).mkdir(exist_ok=True)
            globals_ = (file for each in self.environments for file in self._files_of(each, "globals"))
            for file in (*self.files, *globals_):
                copy = folder / os.path.relpath(file.path, self._folder)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(texts.get(file.path, file.text).encode())
            return {each: self._resolved_in(folder, each) for each in self.runs}

    def _resolved_in(self, folder: Path, environment: str) -> Entries:
        from kedro.config import MissingConfigException

        try:
            with contextlib.suppress(MissingConfigException):
                found: Entries = self._loader(str(folder), environment, self._parameters)["catalog"]
                return found
        except Exception as error:
            text = str(error).replace(str(folder), str(self._folder))
            raise ValueError(f"the catalog of the environment {environment!r} cannot be resolved: {text}") from error
        return {}

    @functools.cached_property
    def _parameters(self) -> dict[str, Any]:
        """A value for each parameter of a run that the catalogs ask for and that has no default."""
        found: dict[str, Any] = {}
        for name in {name for file in self.files for name in _WITHOUT_DEFAULT.findall(file.text)}:
            *above, last = name.split(".")
            level = found
            for each in above:
                level = level.setdefault(each, {})
            level[last] = PARAMETER + last
        return found


def _refuse_odd(config: Any) -> None:
    """Refuse what Kedro fails to read without a word on where it stands.

    Raises:
        ValueError: It is no mapping of texts.
    """
    if not isinstance(config, Mapping):
        raise ValueError("it holds a list, where names of entries are meant")
    for key in config:
        if not isinstance(key, str):
            raise ValueError(f"its key {key!r} is no text: put that in quotes")
