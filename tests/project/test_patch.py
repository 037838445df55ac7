"""What is no commit yet can be had back from a patch."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.project import patch
from kedro_statisfactory.project.patch import LARGEST_FILE, Patch, keeps_secrets, read_patch
from tests.project.conftest import make_repository, run

pytestmark = pytest.mark.once

BINARY = bytes(range(256)) * 40


def _harmless(_: bytes) -> bool:
    return False


def _files(project: Path) -> dict[str, object]:
    """All that is in the files of a project, links and modes included."""
    names = run(project, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")[:-1]
    return {
        name: path.readlink() if path.is_symlink() else (path.read_bytes(), path.stat().st_mode & 0o111)
        for name in names
        if (path := project / name).is_symlink() or path.is_file()
    }


def _applied(project: Path, copy: Path, content: bytes) -> Path:
    """A clone of what is committed, with a patch applied."""
    run(copy.parent, "clone", "--quiet", str(project), str(copy))
    subprocess.run(["git", "apply"], cwd=copy, input=content, check=True)
    return copy


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A project with every kind of change."""
    project = tmp_path / "mine"
    names = ("pyproject.toml", "text.py", "binary.bin", "gone.py", "staged-gone.py", "mode.sh", "café.py", "same.py")
    make_repository(project, files=names)
    for name in names[1:]:
        (project / name).write_bytes(b"before\n" if name != "binary.bin" else BINARY)
    (project / ".gitignore").write_text("ignored/\n")
    run(project, "add", ".")
    run(project, "commit", "--quiet", "--message=second")
    (project / "text.py").write_bytes(b"after\r\nwithout an end")
    (project / "binary.bin").write_bytes(BINARY[::-1])
    (project / "café.py").write_text("nach\n")
    (project / "gone.py").unlink()
    run(project, "rm", "--quiet", "staged-gone.py")
    (project / "mode.sh").chmod(0o755)
    (project / "staged.py").write_text("staged\n")
    run(project, "add", "staged.py")
    (project / "staged.py").write_text("and changed since\n")
    for name, content in {"new.py": b"new\n", "-new.bin": BINARY, "a b/[1]*.py": b"odd\n", "empty": b""}.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_bytes(content)
    (project / "link").symlink_to("new.py")
    return project


def test_a_patch_brings_every_kind_of_change_back(changed: Path, tmp_path: Path) -> None:
    before = run(changed, "status", "--porcelain"), sorted((changed / ".git/objects").rglob("*"))
    found = read_patch(changed, _harmless)
    assert found.left_out == []
    assert _files(_applied(changed, tmp_path / "copy", found.content)) == _files(changed)
    assert (run(changed, "status", "--porcelain"), sorted((changed / ".git/objects").rglob("*"))) == before
    assert read_patch(changed, _harmless) == found, "the same changes have the same patch"


def test_a_patch_names_what_it_has_no_room_for(changed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (changed / "large.bin").write_bytes(bytes(LARGEST_FILE + 1))
    (changed / "text.py").write_bytes(bytes(LARGEST_FILE + 1))
    found = read_patch(changed, _harmless)
    assert found.left_out == ["large.bin", "text.py"]
    copy = _applied(changed, tmp_path / "copy", found.content)
    assert (copy / "text.py").read_text() == "before\n"
    assert (copy / "new.py").read_text() == "new\n"
    monkeypatch.setattr(patch, "MOST_FILES", 1)
    assert len(read_patch(changed, _harmless).left_out) == 12
    monkeypatch.undo()
    monkeypatch.setattr(patch, "LARGEST_PATCH", 100)
    found = read_patch(changed, _harmless)
    assert found.content == b"", "what was deleted, or replaced, is in a patch as well"
    assert "new.py" in found.left_out


def test_what_may_be_secret_or_is_ignored_gets_into_no_patch(changed: Path) -> None:
    secret = (
        "conf/local/x.yml",
        "conf/base/credentials.yml",
        "credentials_prod.json",
        ".env",
        "sub/.env.prod",
        "id_rsa",
    )
    for name in (*secret, "ignored/x.py", "names/credentials.py"):
        (changed / name).parent.mkdir(parents=True, exist_ok=True)
        (changed / name).write_text("hunter2 is the password\n")
    run(changed, "add", "--force", "conf/base/credentials.yml")
    found = read_patch(changed, _harmless)
    assert found.left_out == sorted(secret)
    assert found.content.count(b"hunter2") == 1, "that of code of this name"
    found = read_patch(changed, lambda content: b"hunter2" in content)
    assert found.left_out == sorted((*secret, "names/credentials.py"))
    assert b"hunter2" not in found.content


def test_a_secret_that_was_taken_out_gets_into_no_patch(project: Path) -> None:
    def tells_secret(content: bytes) -> bool:
        return b"hush" in content

    for name in ("key.py", "gone.py", "plain.py"):
        (project / name).write_text("hush\n" if name != "plain.py" else "plain\n")
    run(project, "add", ".")
    run(project, "commit", "--quiet", "--message=secrets")
    (project / "key.py").write_text("nothing\n")
    (project / "gone.py").unlink()
    (project / "plain.py").write_text("plainer\n")
    (project / "link").symlink_to("hush-hush")
    found = read_patch(project, tells_secret)
    assert b"hush" not in found.content
    assert b"plainer" in found.content
    assert found.left_out == ["gone.py", "key.py", "link"]


@pytest.mark.parametrize(
    "name",
    b"conf/local/a.py mono/conf/local/b .env .env.prod prod.env CREDENTIALS.YML client_secret.json id_rsa "
    b"id_ed25519.pub server.pem a/key.key .aws/config .netrc .lakectl.yaml service-account-prod.json".split(),
)
def test_files_that_keep_secrets_are_known_by_name(name: bytes) -> None:
    assert keeps_secrets(name)


@pytest.mark.parametrize(
    "name", b"conf/locals/a.py environment.yml credentials.py keys.py src/secrets.ipynb idea.py".split()
)
def test_other_files_are_not(name: bytes) -> None:
    assert not keeps_secrets(name)


def test_a_submodule_and_a_repository_within_this_one_are_no_part_of_it(project: Path, tmp_path: Path) -> None:
    make_repository(tmp_path / "library")
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tmp_path / "library"), "library")
    run(project, *add)
    run(project, "commit", "--quiet", "--message=library")
    (project / "library/code.py").write_text("changed\n")
    make_repository(project / "nested")
    assert read_patch(project, _harmless) == Patch(b"", [])
    run(project / "library", "commit", "--quiet", "--all", "--message=changed")
    (project / "code.py").write_text("changed\n")
    found = read_patch(project, _harmless)
    assert b"Subproject commit" in found.content
    copy = _applied(project, tmp_path / "copy", found.content)
    assert (copy / "code.py").read_text() == "changed\n"


def test_a_branch_without_commits_has_a_patch_of_all(tmp_path: Path) -> None:
    project = tmp_path / "new"
    project.mkdir()
    run(project, "init", "--quiet", "--initial-branch=main")
    (project / "pyproject.toml").write_text("[tool.kedro]\n")
    found = read_patch(project, _harmless)
    (tmp_path / "copy").mkdir()
    run(tmp_path / "copy", "init", "--quiet")
    subprocess.run(["git", "apply"], cwd=tmp_path / "copy", input=found.content, check=True)
    assert (tmp_path / "copy/pyproject.toml").read_text() == "[tool.kedro]\n"


def test_a_file_that_nobody_may_read_is_left_out(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "code.py").write_text("changed\n")

    def refuse(path: Any, *options: Any, _open: Any = open, **more: Any) -> Any:
        if str(path).endswith("code.py'"):  # a path in bytes
            raise PermissionError("no")
        return _open(path, *options, **more)

    monkeypatch.setattr("builtins.open", refuse)
    found = read_patch(project, _harmless)
    monkeypatch.undo()
    assert found == Patch(b"", ["code.py"])


def test_a_folder_without_a_repository_has_no_patch(tmp_path: Path) -> None:
    assert read_patch(tmp_path, _harmless) == Patch(b"", ())
