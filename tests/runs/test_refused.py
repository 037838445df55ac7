"""A run that cannot begin, or whose paths mean something else, is told with the entry."""

from __future__ import annotations

import pytest
import yaml
from kedro.io import DatasetError

from tests.runs.conftest import BEFORE, KedroProject

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def _move(project: KedroProject, name: str, path: str) -> None:
    file = project.path / "conf/base/catalog.yml"
    catalog = yaml.safe_load(file.read_text())
    catalog[name]["filepath"] = f"lakefs://{project.repository}/{path}"
    file.write_text(yaml.safe_dump(catalog))


@pytest.mark.parametrize("first", ["main", "v1.0"])
def test_a_run_takes_no_branch_or_tag_for_a_folder(project: KedroProject, first: str) -> None:
    project.api.create_tag(project.repository, "v1.0", "main")
    _move(project, "a", f"{first}/a.json")
    with pytest.raises(DatasetError, match=r"catalog entry 'a': .*E0707"):
        project.run(3)
    assert project.read() == BEFORE


def test_a_folder_may_have_the_name_of_a_branch_that_git_alone_knows(project: KedroProject) -> None:
    project.git("branch", "docs")
    for path in ("docs/a.json", "v2/a.json"):
        _move(project, "a", path)
        project.run(3)
        assert project.read()[path.removesuffix(".json")] == 3


def test_a_run_that_cannot_begin_names_an_entry(project: KedroProject) -> None:
    project.git("checkout", "-q", "--detach")
    with pytest.raises(DatasetError, match=r"entry 'a'.*E0705.*detached"):
        project.run()
    project.git("switch", "-q", "main")
    project.settings(mode="isolatd")
    with pytest.raises(DatasetError, match=r"^\[E0708\] statisfactory.yml: 'mode' is 'isolatd'"):
        project.run()
    (project.path / "conf/base/statisfactory.yml").write_text("- mode\n")
    with pytest.raises(DatasetError, match=r"^\[E0708\] statisfactory.yml cannot be read: "):
        project.run()
    project.settings(source="nowhere")
    project.git("switch", "-qc", "new")
    with pytest.raises(DatasetError, match=r"entry 'a'.*E0702.*'nowhere'"):
        project.run()
    assert project.branches() == ["main"]


def test_a_branch_in_a_path_is_told_before_the_first_node(project: KedroProject) -> None:
    _move(project, "total", "main/total.json")
    with pytest.raises(
        DatasetError, match=r"catalog entry 'total': .*E0707.*on the branch 'main'\. The branch"
    ) as caught:
        project.run(3, signal={"first": "SIGKILL"})  # which would end this very process
    assert "kedro----" not in str(caught.value)
    assert project.branches() == ["main"]


@pytest.mark.parametrize("mode", ["isolated", "direct"])
def test_what_is_missing_to_reach_lakefs_is_told_with_the_entry(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    project.settings(mode=mode)
    monkeypatch.delenv("LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY")
    with pytest.raises(DatasetError, match=r"catalog entry 'a': .*E0402"):
        project.run(3)
    with pytest.raises(DatasetError, match=r"b\b.*E0402"):
        project.run(3, pipeline="reads")
    with pytest.raises(DatasetError, match=r"b\b.*E0402"):
        project.run(3, pipeline="reads", load_versions={"b": "main"})
