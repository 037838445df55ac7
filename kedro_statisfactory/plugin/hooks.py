"""Kedro hooks, found through the entry point ``kedro.hooks``; no project has to name them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
import threading
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kedro.config import MissingConfigException
from kedro.framework.hooks import hook_impl
from kedro.io import DatasetError
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from kedro_statisfactory.errors import InvalidSettings, StatisfactoryError
from kedro_statisfactory.plugin.checks import (
    refuse_collections,
    refuse_lost_chunks,
    refuse_lost_versions,
    refuse_unfit_formats,
    refuse_unkept_versions,
    refuse_unknown_options,
    refuse_unusable_places,
)
from kedro_statisfactory.plugin.entries import artifacts, fix_versions, uses_of
from kedro_statisfactory.plugin.progress import Watch
from kedro_statisfactory.plugin.skipping import kept_inputs, let_skip, original
from kedro_statisfactory.plugin.viz import let_viz_ask_entries
from kedro_statisfactory.progress import listen
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


@dataclasses.dataclass
class _Running:
    """A run that goes on.

    Attributes:
        catalog: Its own; kept, so that no other one gets its id.
        run: The run.
        ours: The entries of this package, by name.
    """

    catalog: Any
    run: Run
    ours: Mapping[str, list[ArtifactDataset]]

    def unbind(self) -> None:
        """Let the entries work as outside of runs."""
        for found in self.ours.values():
            for each in found:
                each.bind(self.run.after)


@contextlib.contextmanager
def _as_dataset_error() -> Iterator[None]:
    """Tell an error of ours as Kedro's, with the entry that it is about."""
    try:
        yield
    except StatisfactoryError as error:
        # What is wrong with the settings is wrong for no entry in particular.
        where = f"catalog entry {error.entry!r}: " if error.entry else ""
        raise DatasetError(f"{where}{error}") from error


class StatisfactoryHooks:
    """What the package adds to a run of Kedro: one object for all runs of a process."""

    def __init__(self) -> None:
        self._of_thread = threading.local()  # Kedro makes the context of a run in the thread that runs it
        self._skippable: list[Node] = []
        self._runs: dict[int, _Running] = {}  # by the id of the run's own catalog

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Note the project, for the runs of this thread and for entries that are loaded outside of a run."""
        self._of_thread.project = _ProjectOf(context)
        announce(self._of_thread.project)
        let_viz_ask_entries()

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
            result = yield
            self._look_at_nodes(pipeline, catalog)
            return result
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
            try:
                found.run.finish()
            finally:
                found.unbind()
                self._restore_nodes()
        return result

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self, catalog: Any) -> None:
        """Drop what the run wrote."""
        self._abandon(catalog)

    @hook_impl
    def before_node_run(self, node: Node, catalog: Any) -> dict[str, Any] | None:
        """Let a node be that was run only because one before it was, where its inputs turn out to be what they were."""
        return kept_inputs(node, catalog)

    def _restore_nodes(self) -> None:
        """Give nodes their own functions back, which they share with other runs of the process, when all have ended."""
        while self._skippable and not self._runs:
            node = self._skippable.pop()
            node.func = original(node.func)

    def _abandon(self, catalog: Any) -> None:
        if found := self._runs.pop(id(catalog), None):
            found.run.abandon()
            found.unbind()
            self._restore_nodes()

    def _begin(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        refuse_collections(catalog, sorted(pipeline.datasets()))
        entries = {name: catalog.get(name) for name in sorted(pipeline.datasets())}
        module = sys.modules.get("kedro_statisfactory.datasets.artifact")
        if module is None:  # no entry is one of ours
            return
        ours = {
            name: found for name, entry in entries.items() if (found := list(artifacts(entry, module.ArtifactDataset)))
        }
        refuse_unknown_options(ours)
        refuse_unusable_places(ours, pipeline.all_outputs())
        refuse_unfit_formats(ours, pipeline.all_outputs())
        refuse_lost_chunks(pipeline, ours)
        fix_versions(pipeline, ours)
        follow = {name: those for name, found in ours.items() if (those := [e for e in found if e.backend.follows_git])}
        if not follow:
            return
        from kedro_statisfactory import runs

        refuse_lost_versions(run_params, follow)
        read = getattr(self._of_thread, "project", Project)
        bound = [each for found in ours.values() for each in found]
        with _as_dataset_error():
            project = read()
            for each in bound:
                each.bind(project)
            uses = list(uses_of(pipeline, entries, ours))
            facts = functools.partial(_facts, run_params=run_params, catalog=catalog, entries=bound)
            may_skip = bool(run_params.get("only_missing_outputs"))
            run = runs.begin(str(run_params["run_id"]), project, uses, facts, may_skip)
        self._runs[id(catalog)] = _Running(catalog, run, ours)
        try:
            self._bind(run, pipeline, ours)
        except DatasetError:
            self._abandon(catalog)
            raise

    def _look_at_nodes(self, pipeline: Pipeline, catalog: Any) -> None:
        """Note what the nodes of a run depend on, after all that other packages may have changed of that."""
        if not (found := self._runs.get(id(catalog))):
            return
        run = found.run
        if run.targets:
            from kedro_statisfactory.plugin.elsewhere import other_places
            from kedro_statisfactory.plugin.nodes import answer, code_of_nodes, nodes_of
            from kedro_statisfactory.runs.nodes.of_run import NodesOfRun

            nodes = nodes_of(pipeline, catalog, found.ours, run.project)
            run.nodes = NodesOfRun(nodes, functools.partial(code_of_nodes, pipeline, run.project))
            if run.may_skip:
                with _as_dataset_error():
                    plan = run.nodes.look(run.targets, run.project, functools.partial(other_places, catalog, run))
                answer(plan, catalog, found.ours)
                self._skippable += let_skip(plan, pipeline, found.ours)

    @staticmethod
    def _bind(run: Run, pipeline: Pipeline, ours: Mapping[str, list[ArtifactDataset]]) -> None:
        """Let the entries work in the run, where that keeps what they promise."""
        inputs = pipeline.inputs()
        for name, found in ours.items():
            for each in found:
                each.bind(dataclasses.replace(run.inputs if name in inputs else run.project, entry=name))
        refuse_unkept_versions(pipeline.all_outputs(), ours)


def _facts(
    project: Project, run_params: Mapping[str, Any], catalog: Any, entries: list[ArtifactDataset]
) -> dict[str, str]:
    """What the commit of a run says about it, without any secret of the entries' credentials."""
    from kedro_statisfactory.runs import provenance
    from kedro_statisfactory.runs.redaction import without_tokens

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
    told = {key: value.encode("utf-8", "backslashreplace").decode() for key, value in facts.items()}
    return {key: without_tokens(value) for key, value in told.items()}


hooks = StatisfactoryHooks()
listen(Watch())
