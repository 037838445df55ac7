"""A Kedro project in a git repository of its own, and the lakeFS repository with its data."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from click.testing import CliRunner, Result
from kedro.framework.project import LOGGING
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog
from kedro.runner import AbstractRunner

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends import LakeFSBackend, patience
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.client import lakefs_client
from kedro_statisfactory.backends.lakefs.model import FOLDER_MARK, Commit
from kedro_statisfactory.plugin import cli
from kedro_statisfactory.project import Project, announce, current_project
from kedro_statisfactory.project.git import Head
from kedro_statisfactory.runs import interrupts
from kedro_statisfactory.session import Session
from tests.servers.lakefs import LakeFSServer

ROOT = Path(__file__).parents[2]
PARTS = "tests.runs.project.folder.Parts"
BEFORE = {"total": 0}  # what the project has on lakeFS before its first run


@dataclass
class KedroProject:
    """The project and everything that a test does with it."""

    path: Path
    server: LakeFSServer
    repository: str
    other: str

    # -- git -------------------------------------------------------------------------------------------------------

    def git(self, *arguments: str, **variables: str) -> str:
        """Run git in the project."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        names = {
            f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env={**environment, **names, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, **variables},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit_code(self, text: str) -> str:
        """Change the code and commit it; gives the SHA."""
        (self.path / f"code-{text}.py").write_text(f"# {text}\n")
        self.git("add", "-A")
        self.git("commit", "-qm", text)
        return self.git("rev-parse", "HEAD")

    # -- Kedro -----------------------------------------------------------------------------------------------------

    def run(
        self,
        value: int = 1,
        runner: AbstractRunner | None = None,
        pipeline: str = "__default__",
        load_versions: dict[str, str] | None = None,
        nodes: list[str] | None = None,
        missing: bool = False,
        **parameters: Any,
    ) -> str:
        """Run a pipeline in this process; gives the id of the run."""
        bootstrap_project(self.path)
        with KedroSession.create(self.path, runtime_params={"value": value, **parameters}) as session:
            assert isinstance(session, KedroSession)
            session.run(
                pipeline_names=[pipeline],
                runner=runner,
                load_versions=load_versions,
                node_names=nodes,
                only_missing_outputs=missing,
            )
            return str(session.session_id)

    def killed_run(self, signal_name: str = "SIGKILL", where: str = "add", **parameters: Any) -> int:
        """Run the pipeline in a process of its own that gets a signal in mid-run; gives how it ended."""
        return self.forked_run(signal={where: signal_name}, **parameters)

    def forked_run(self, **parameters: Any) -> int:
        """Run the pipeline in a process of its own; gives how it ended, 99 where nothing ended it."""
        child = os.fork()
        if child == 0:
            try:
                self.run(**parameters)
            except SystemExit as error:
                interrupts.abandon_all()  # what the interpreter does when it ends
                os._exit(int(error.code or 0))
            finally:
                os._exit(99)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    @contextlib.contextmanager
    def waiting_run(self, where: str, **options: Any) -> Iterator[Future[str]]:
        """A run, in a thread, that waits in a node until the block is left."""
        begun, end = self.path / f"begun-{where}", self.path / f"end-{where}"
        with ThreadPoolExecutor(1) as executor:
            future = executor.submit(self.run, wait={where: [str(begun), str(end)]}, **options)
            try:
                while not begun.exists() and not future.done():
                    time.sleep(0.01)
                yield future
            finally:
                end.touch()
                wait([future])
                begun.unlink(missing_ok=True)
                end.unlink()

    def invoke(self, *arguments: str, answer: str | None = None) -> Result:
        """Run one of our commands in this process; with ``answer`` to what it asks."""
        metadata = bootstrap_project(self.path)
        return CliRunner().invoke(cli.commands, ["statisfactory", *arguments], input=answer, obj=metadata)

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command ``kedro`` as a person would."""
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "kedro", *arguments],
            cwd=self.path,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def catalog(self, **options: Any) -> DataCatalog:
        """The project's catalog, as in a notebook."""
        bootstrap_project(self.path)
        with KedroSession.create(self.path) as session:
            assert isinstance(session, KedroSession)
            catalog = session.load_context()._get_catalog(**options)
            assert isinstance(catalog, DataCatalog)
            return catalog

    def settings(self, **settings: Any) -> None:
        """Write ``statisfactory.yml``."""
        (self.path / "conf/base/statisfactory.yml").write_text(yaml.safe_dump(settings))

    # -- data ------------------------------------------------------------------------------------------------------

    @property
    def api(self) -> LakeFSAPI:
        """The server."""
        return LakeFSAPI(Session(self.server.credentials))

    @property
    def backend(self) -> LakeFSBackend:
        """The backend of the project's entries."""
        return LakeFSBackend(Session(self.server.credentials))

    def read(self, ref: str = "main", repository: str | None = None) -> dict[str, int]:
        """What the objects of the entries hold at a ref, read past the package."""
        repository = repository or self.repository
        found: dict[str, int] = {}
        listing = self.server.call("GET", f"/repositories/{repository}/refs/{ref}/objects/ls?amount=1000").json()
        for each in listing["results"]:
            if each["path"].startswith((FOLDER_MARK, "_lakefs_actions/")):
                continue
            path = quote(each["path"], safe="")
            payload = self.server.call("GET", f"/repositories/{repository}/refs/{ref}/objects?path={path}").data
            found[each["path"].removesuffix(".json")] = json.loads(payload)["n"]
        return found

    def write(self, path: str, number: int, branch: str = "main") -> None:
        """Write an object past the package, without a commit."""
        where = f"/repositories/{self.repository}/branches/{branch}/objects?path={quote(path, safe='')}"
        self.server.call("POST", where, body=json.dumps({"n": number}).encode())

    def entry(self, name: str, project: Project | None = None, version: str | None = None) -> ArtifactDataset:
        """An entry of the catalog, in another state of the project."""
        load_args = {"lake_ref": version} if version else None
        path, dataset = ("folder", PARTS) if name == "folder" else (f"{name}.json", "json.JSONDataset")
        entry = ArtifactDataset(filepath=f"lakefs://{self.repository}/{path}", dataset=dataset, load_args=load_args)
        entry.bind(project or dataclasses.replace(current_project(), path=self.path, head=None))
        return entry

    def on(self, branch: str) -> Project:
        """The project as it would be on a git branch."""
        return Project(self.path, head=Head(branch, None, "a test"))

    def log(self, branch: str = "main", repository: str | None = None) -> list[Commit]:
        """The commits of a data branch, newest first."""
        return list(self.api.log(repository or self.repository, branch))

    def branches(self, repository: str | None = None) -> list[str]:
        """All branches, hidden ones too."""
        return [ref.id for ref in self.api.branches(repository or self.repository, "")]

    def tags(self, repository: str | None = None) -> dict[str, str]:
        """The commits of all tags."""
        return {ref.id: ref.commit_id for ref in self.api.tags(repository or self.repository, "")}


@contextlib.contextmanager
def kedro_project(path: Path, server: LakeFSServer) -> Iterator[KedroProject]:
    """Make a project on the git branch ``main``, with a committed total of 0 on the data branch ``main``."""
    other, repository = sorted([server.new_repository(), server.new_repository()])  # a run lands in this order
    project = KedroProject(path, server, repository, other)
    (path / "conf/base").mkdir(parents=True)
    (path / "conf/local").mkdir()
    (path / "conf/local/.gitkeep").touch()
    (path / ".telemetry").write_text("consent: false\n")
    (path / ".gitignore").write_text("data/\n__pycache__/\ninfo.log\nbegun-*\nend-*\n")
    (path / "pyproject.toml").write_text(
        '[tool.kedro]\npackage_name = "tests.runs.project"\nproject_name = "runs"\nkedro_init_version = "1.7.0"\n'
        'source_dir = "."\n'
    )
    (path / "conf/base/parameters.yml").write_text("value: 1\nfactor: 2\n")
    (path / "conf/base/catalog.yml").write_text(yaml.safe_dump(_catalog(repository, other)))
    project.git("init", "-q", "-b", "main")
    project.commit_code("zero")
    project.write("total.json", 0)
    project.api.create_commit(repository, "main", "Begin", {})
    yield project


def _catalog(repository: str, other: str) -> Mapping[str, Any]:
    def entry(url: str, **more: Any) -> dict[str, Any]:
        return {
            "type": "kedro_statisfactory.ArtifactDataset",
            "filepath": url,
            "dataset": "json.JSONDataset",
            **more,
        }

    return {
        "a": entry(f"lakefs://{repository}/a.json"),
        "b": entry(f"lakefs://{repository}/b.json", versioned=True),
        "total": entry(f"lakefs://{repository}/total.json"),
        "total_before": entry(f"lakefs://{repository}/total.json"),
        "elsewhere": entry(f"lakefs://{other}/elsewhere.json"),
        "local": entry("data/local.json"),
        "of_kedro": {"type": "json.JSONDataset", "filepath": "data/of_kedro.json"},
        "queue": {**entry(f"lakefs://{repository}/queue.json"), "dataset": "tests.datasets.test_members.Queue"},
        "folder": {**entry(f"lakefs://{repository}/folder"), "dataset": PARTS},
        "added": {
            **entry(f"lakefs://{repository}/added.csv"),
            "dataset": {"type": "pandas.CSVDataset", "save_args": {"mode": "a", "header": False, "index": False}},
        },
        "wide_{number}": entry(f"lakefs://{repository}/wide/{{number}}.json"),
    }


@pytest.fixture(scope="session", autouse=True)
def _quick_settings() -> Iterator[None]:
    """Spare each session a tenth of a second: dynaconf has the sources of all callers read, to know their files."""

    def stack() -> list[SimpleNamespace]:
        frames = (frame for frame, _ in traceback.walk_stack(None))
        return [SimpleNamespace(filename=frame.f_code.co_filename) for frame in frames]

    with pytest.MonkeyPatch.context() as patch:
        for module in ("dynaconf.loaders.py_loader", "dynaconf.utils.files"):
            patch.setattr(f"{module}.inspect", SimpleNamespace(stack=stack))
        yield


@pytest.fixture
def project(lakefs_local: LakeFSServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KedroProject]:
    """A project of its own for each test; lakeFS is named by the variables of lakectl."""
    with project_on(lakefs_local, tmp_path, monkeypatch) as made:
        yield made


@contextlib.contextmanager
def project_on(server: LakeFSServer, path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KedroProject]:
    """A project whose entries are on a server, in a process that has been in none yet."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    # The first run of a package in a process sets up logging anew, and would take what records it away from the test.
    LOGGING.set_project_logging("tests.runs.project")
    announce(None)
    patience.forget()  # a run that an earlier test left would let this one wait for servers
    monkeypatch.chdir(path)
    with kedro_project(path, server) as made:
        yield made


@pytest.fixture
def calls(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Counter[str]]:
    """What this process asked the server: method and the kind of thing, without objects' bytes apart."""
    pool: Any = lakefs_client(Session()).rest_client.pool_manager
    sent: Counter[str] = Counter()
    request = pool.request

    def record(method: str, url: str, **more: Any) -> Any:
        below = re.sub(r"\?.*", "", url.split("/api/v1/")[1]).split("/")[2:]
        kind = "objects" if "/objects" in url else below[0] if below else "repository"
        sent[f"{method} {kind}"] += 1
        return request(method, url, **more)

    monkeypatch.setattr(pool, "request", record)
    return lambda: Counter(sent)


def with_folder(project: KedroProject) -> None:
    """Let `a` be a folder of a file that is named after its content."""
    file = project.path / "conf/base/catalog.yml"
    catalog = yaml.safe_load(file.read_text())
    catalog["a"] |= {"filepath": f"lakefs://{project.repository}/a", "dataset": PARTS}
    file.write_text(yaml.safe_dump(catalog))


@pytest.fixture
def made(project: KedroProject) -> KedroProject:
    """A project that has run once, with 2."""
    project.run(2)
    return project
