"""Kedro hooks, found through the entry point ``kedro.hooks``; no project has to name them."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kedro.config import MissingConfigException
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractDataset, DatasetError
from kedro.pipeline import Pipeline

from kedro_statisfactory.errors import ChunkedSave, InvalidSettings, NotSupported, StatisfactoryError
from kedro_statisfactory.project import Project, announce

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext

    from kedro_statisfactory.datasets import ArtifactDataset
    from kedro_statisfactory.runs import Run

_SETTINGS = "statisfactory"


class _ProjectOf:
    """The project of a Kedro context; its settings are read when they are first asked for."""

    def __init__(self, context: KedroContext) -> None:
        self._path, self._loader = context.project_path, context.config_loader
        self._lock = threading.Lock()
        self._project: Project | None = None

    def __call__(self) -> Project:
        with self._lock:
            if self._project is None:
                from kedro_statisfactory.project.settings import parse_settings

                self._project = Project(self._path, parse_settings(self._read()))
            return self._project

    def _read(self) -> Mapping[str, Any]:
        patterns = getattr(self._loader, "config_patterns", None)
        if patterns is not None:
            patterns.setdefault(_SETTINGS, [f"{_SETTINGS}*", f"{_SETTINGS}*/**"])
        try:
            content: Mapping[str, Any] = self._loader[_SETTINGS]
        except (MissingConfigException, KeyError):
            return {}
        except Exception as error:  # whatever a loader makes of a file that is no mapping, or no YAML
            raise InvalidSettings(f"statisfactory.yml cannot be read: {error}") from error
        return content


class StatisfactoryHooks:
    """What the package adds to a run of Kedro: one object for all runs of a process."""

    def __init__(self) -> None:
        self._of_thread = threading.local()  # Kedro makes the context of a run in the thread that runs it
        self._runs: dict[int, tuple[Any, Run, list[ArtifactDataset]]] = {}  # by the id of the run's own catalog

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Note the project, for the runs of this thread and for entries that are loaded outside of a run."""
        self._of_thread.project = _ProjectOf(context)
        announce(self._of_thread.project)

    @hook_impl(wrapper=True, tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any
    ) -> Generator[None, object, object]:
        """Begin a run on lakeFS, where entries of the pipeline are there; end it when another package's hook fails.

        Raises:
            DatasetError: An entry has an option that its backend does not know; a generator node writes an entry whose
                format keeps only the last chunk; or the run cannot begin.
        """
        self._begin(run_params, pipeline, catalog)
        try:
            return (yield)
        except BaseException:  # an interrupt, too, must not leave a run behind
            self._abandon(catalog)
            raise

    @hook_impl(wrapper=True, tryfirst=True)
    def after_pipeline_run(self, catalog: Any) -> Generator[None, object, object]:
        """Let what the run wrote appear, after all that other packages may have added to it.

        Raises:
            StatisfactoryError: It does not appear, or not everywhere; the text says what is where.
        """
        try:
            result = yield
        except BaseException:  # an interrupt, too, must not leave a run behind
            self._abandon(catalog)
            raise
        if found := self._runs.pop(id(catalog), None):
            _, run, bound = found
            try:
                run.finish()
            finally:
                for each in bound:
                    each.bind(run.after)
        return result

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self, catalog: Any) -> None:
        """Drop what the run wrote."""
        self._abandon(catalog)

    def _abandon(self, catalog: Any) -> None:
        if found := self._runs.pop(id(catalog), None):
            _, run, bound = found
            run.abandon()
            for each in bound:
                each.bind(run.after)

    def _begin(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        entries = {name: catalog.get(name) for name in sorted(pipeline.datasets())}
        _refuse_partitions(entries)
        module = sys.modules.get("kedro_statisfactory.datasets.artifact")
        if module is None:  # no entry is one of ours
            return
        ours = {
            name: found for name, entry in entries.items() if (found := list(artifacts(entry, module.ArtifactDataset)))
        }
        _refuse_unknown_options(ours)
        _refuse_lost_chunks(pipeline, ours)
        follow = {name: bound for name, found in ours.items() if (bound := [e for e in found if e.backend.follows_git])}
        if not follow:
            return
        from kedro_statisfactory import runs

        _refuse_lost_versions(run_params, follow)
        read = getattr(self._of_thread, "project", Project)
        bound = [each for found in follow.values() for each in found]
        try:
            project = read()
            for each in bound:
                each.bind(project)
            uses = list(_uses(pipeline, entries, ours))
            run = runs.begin(
                str(run_params["run_id"]), project, uses, lambda of: _facts(of, run_params, catalog, bound)
            )
        except StatisfactoryError as error:
            # What is wrong with the settings is wrong for no entry in particular.
            where = f"catalog entry {error.entry!r}: " if error.entry else ""
            raise DatasetError(f"{where}{error}") from error
        inputs = pipeline.inputs()
        for name, found in ours.items():
            for each in found:
                each.bind(run.inputs if name in inputs else run.project)
        self._runs[id(catalog)] = catalog, run, bound


def artifacts(entry: object, ours: type[ArtifactDataset]) -> Iterator[ArtifactDataset]:
    """The entry itself or, when it wraps others as CachedDataset does, those of ours within it."""
    if isinstance(entry, ours):
        yield entry
    elif isinstance(entry, AbstractDataset):
        for value in vars(entry).values():
            if isinstance(value, AbstractDataset):
                yield from artifacts(value, ours)


def _refuse_partitions(entries: Mapping[str, Any]) -> None:
    """Partitions are made by the dataset that wraps ours, where no run could reach them."""
    for name, entry in entries.items():
        kind, path = getattr(entry, "_dataset_type", None), str(getattr(entry, "_path", ""))
        if isinstance(kind, type) and kind.__name__ == "ArtifactDataset" and path.startswith("lakefs:"):
            error = NotSupported(
                f"{type(entry).__name__} lists {path!r} through fsspec, past the runs on lakeFS: save the partitions "
                "as a folder, by a format that writes one, or keep them on disk or in S3."
            )
            raise DatasetError(f"catalog entry {name!r}: {error}") from error


def _refuse_unknown_options(ours: Mapping[str, list[ArtifactDataset]]) -> None:
    """A misspelt option should not be noticed when an hour's result is to be saved with it."""
    for name, found in ours.items():
        for each in found:
            try:
                each.check_options()
            except StatisfactoryError as error:
                raise DatasetError(f"catalog entry {name!r}: {error}") from error


def _refuse_lost_versions(run_params: Mapping[str, Any], follow: Mapping[str, list[ArtifactDataset]]) -> None:
    for name in run_params.get("load_versions") or ():
        if any(each.load_pin is None for each in follow.get(name, ())):
            error = InvalidSettings(
                "--load-versions names it, and Kedro passes that on to entries with `versioned: true` only: add that "
                "(on lakeFS it makes no folders), or pin it by `load_args: {lake_ref: …}`."
            )
            raise DatasetError(f"catalog entry {name!r}: {error}") from error


def _refuse_lost_chunks(pipeline: Pipeline, ours: Mapping[str, list[ArtifactDataset]]) -> None:
    for node in pipeline.nodes:
        if inspect.isgeneratorfunction(node.func):
            for name in node.outputs:
                if not all(each.keeps_chunks for each in ours.get(name, ())):
                    error = ChunkedSave(
                        f"the node {node.name!r} saves in chunks, and each would replace the one before. Let the "
                        "format append, without `versioned` (a text: `fs_args: {open_args_save: {mode: a}}` in "
                        "`dataset`; Delta: `save_args: {mode: append}`), or let the node return its data whole."
                    )
                    raise DatasetError(f"catalog entry {name!r}: {error}") from error


def _uses(pipeline: Pipeline, entries: Mapping[str, Any], ours: Mapping[str, list[ArtifactDataset]]) -> Iterator[Any]:
    """How the pipeline uses its entries, those of other packages included."""
    from kedro_statisfactory.provenance import public_url
    from kedro_statisfactory.runs import Use

    outputs, inputs = pipeline.all_outputs(), pipeline.inputs()
    for name, entry in entries.items():
        for each in ours.get(name, ()):
            yield Use(
                name,
                each.filepath,
                each.backend,
                each.location,
                written=name in outputs and each.save_pin is None,
                is_input=name in inputs,
                version=each.load_pin or (_version_now(each) if name in inputs else None),
            )
        path = getattr(entry, "_filepath", None)
        if name not in ours and name in inputs and path is not None:
            yield Use(name, public_url(str(getattr(entry, "_protocol", "")), str(path)), is_input=True)


def _version_now(entry: ArtifactDataset) -> str | None:
    """The version in folders that the run is going to read; the entry remembers it."""
    try:
        return entry.resolve_load_version()
    except DatasetError:  # there is none yet, which is told when the entry is loaded
        return None


def _facts(
    project: Project, run_params: Mapping[str, Any], catalog: Any, entries: list[ArtifactDataset]
) -> dict[str, str]:
    """What the commit of a run says about it, without any secret of the entries' credentials."""
    from kedro_statisfactory import provenance

    parameters = catalog.get("parameters")
    facts = {
        **provenance.of_code(project),
        **provenance.of_run(run_params, parameters.load() if parameters is not None else {}),
        **provenance.of_machine(),
        "kedro_started": provenance.now(),
    }
    for entry in entries:
        facts = {key: entry.backend.redacted(value) for key, value in facts.items()}
    # A git branch may have a name that is no Unicode.
    return {key: value.encode("utf-8", "backslashreplace").decode() for key, value in facts.items()}


hooks = StatisfactoryHooks()
