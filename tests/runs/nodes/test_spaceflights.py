"""The project that Kedro's users begin with, moved to lakeFS: what has not changed is not run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from tests.runs.conftest import KedroProject
from tests.runs.nodes.changes import fresh_run

HERE = Path(__file__).parent / "spaceflights"
PROCESSED = {"preprocessed_companies", "preprocessed_shuttles", "model_input_table"}
MODEL = {"regressor", "metrics"}
TABLES = {
    "companies": ["id,company_rating,iata_approved", *(f"{n},{50 + n}%,{'tf'[n % 2]}" for n in range(20))],
    "shuttles": [
        "id,price,engines,passenger_capacity,d_check_complete,company_id",
        *(f"{n},${1000 + 37 * n % 101}.0,{n % 3},{n % 7},{'tf'[n % 2]},{n % 20}" for n in range(60)),
    ],
    "reviews": ["shuttle_id,review_scores_rating", *(f"{n},{60 + n % 40}" for n in range(60))],
}
OPTIONS = {"test_size": 0.2, "random_state": 3, "features": ["engines", "passenger_capacity", "review_scores_rating"]}

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.fixture
def spaceflights(project: KedroProject) -> KedroProject:
    """The project, its sources in git and its tables on lakeFS."""
    shutil.copytree(HERE, project.path / "src/spaceflights", ignore=shutil.ignore_patterns("__pycache__"))
    (project.path / "pyproject.toml").write_text(
        '[tool.kedro]\npackage_name = "spaceflights"\nproject_name = "spaceflights"\nkedro_init_version = "1.7.0"\n'
    )

    def entry(name: str, format_: str, ending: str) -> dict[str, str]:
        url = f"lakefs://{project.repository}/{name}.{ending}"
        return {"type": "kedro_statisfactory.ArtifactDataset", "filepath": url, "dataset": format_}

    catalog = {name: entry(name, "pandas.CSVDataset", "csv") for name in TABLES}
    catalog |= {name: entry(name, "pandas.ParquetDataset", "parquet") for name in PROCESSED}
    catalog["regressor"] = entry("regressor", "pickle.PickleDataset", "pickle")
    catalog["metrics"] = entry("metrics", "json.JSONDataset", "json")
    (project.path / "conf/base/catalog.yml").write_text(yaml.safe_dump(catalog))
    (project.path / "conf/base/parameters.yml").write_text(yaml.safe_dump({"model_options": OPTIONS}))
    for name, lines in TABLES.items():
        where = f"/repositories/{project.repository}/branches/main/objects?path={quote(f'{name}.csv')}"
        project.server.call("POST", where, body="\n".join(lines).encode())
    project.git("add", "-A")
    project.git("commit", "-qm", "Begin")
    return project


def run(project: KedroProject, branch: str = "main") -> set[str]:
    """Run what has changed; gives the entries that were written."""
    before = {commit.id for commit in project.log(branch)} if branch in project.branches() else set()
    fresh_run(project)
    new = [commit for commit in project.log(branch) if commit.id not in before] if branch in project.branches() else []
    told = [json.loads(commit.metadata["kedro_outputs"]) for commit in new if "kedro_outputs" in commit.metadata]
    return set(told[0]) if told else set()


def edit(project: KedroProject, pipeline: str, old: str, new: str) -> None:
    """Edit the nodes of a pipeline, and commit that."""
    file = project.path / f"src/spaceflights/pipelines/{pipeline}/nodes.py"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    project.git("commit", "-qam", "Edit")


def test_what_has_changed_is_run_and_what_depends_on_it(spaceflights: KedroProject) -> None:
    assert run(spaceflights) == PROCESSED | MODEL
    assert run(spaceflights) == set(), "a second run"
    edit(spaceflights, "data_science", ".abs().mean()", ".abs().max()")
    assert run(spaceflights) == MODEL, "the data is not made again for another score"
    spaceflights.git("checkout", "-qb", "feature/prices")
    assert run(spaceflights, "feature--prices") == set(), "a new branch"
    edit(spaceflights, "data_processing", "/ 100", "/ 10")
    assert run(spaceflights, "feature--prices") >= {"preprocessed_companies", "model_input_table"}
    spaceflights.git("checkout", "-q", "main")
    assert run(spaceflights) == set(), "back on the first branch"
    spaceflights.git("checkout", "-q", "feature/prices")
    assert run(spaceflights, "feature--prices") == set(), "and on the second one"
