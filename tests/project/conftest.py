"""Git repositories to read from, apart from the developer's own."""

from __future__ import annotations

import importlib
import os
import subprocess
from pathlib import Path

import pytest

NO_CI: dict[str, str] = {}


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the developer's git configuration, and the hook or CI job that runs these tests, out of them."""
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(tmp_path)}
    identity = {
        f"GIT_{who}_{what}": "test@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    for name, value in {**settings, **identity}.items():
        monkeypatch.setenv(name, value)


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=True, text=True, timeout=60)
    return done.stdout.strip()


def make_project(folder: Path) -> Path:
    """Make a folder the root of a Kedro project, as far as git decides about that."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text("[tool.kedro]\n")
    return folder


def make_repository(folder: Path, *options: str, files: tuple[str, ...] = ("pyproject.toml", "code.py")) -> str:
    """Make a repository with one commit on ``main`` and give back the commit."""
    folder.mkdir(parents=True)
    run(folder, "init", "--quiet", "--initial-branch=main", *options)
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
        if Path(name).name == "pyproject.toml":
            make_project((folder / name).parent)
    run(folder, "add", ".")
    run(folder, "commit", "--quiet", "--message=first")
    return run(folder, "rev-parse", "HEAD")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_repository(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def commit(project: Path) -> str:
    return run(project, "rev-parse", "HEAD")


@pytest.fixture
def no_git_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Put a program called git in front of the real one, once GitPython was imported: it asks for the version then."""
    importlib.import_module("git")
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def submodule(project: Path, tmp_path: Path) -> Path:
    make_repository(tmp_path / "inner")
    allow = ("-c", "protocol.file.allow=always")
    run(project, *allow, "submodule", "--quiet", "add", "--branch", "main", str(tmp_path / "inner"), "inner")
    run(project, "commit", "--quiet", "--message=submodule")
    return project / "inner"


@pytest.fixture
def of_another_user(project: Path) -> Path:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("SKIPPED: only root can give a repository to another user, so dubious ownership is NOT tested here")
    make_project(project / "folder")
    run(project, "add", ".")
    run(project, "commit", "--quiet", "--message=folder")
    for path in (project, *project.rglob("*")):
        os.lchown(path, 12345, 12345)
    return project
