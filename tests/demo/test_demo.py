"""The demo project, run for real in a copy of its own."""

import csv
import os
import pickle
import runpy
import shutil
import socket
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from PIL import Image

from kedro_statisfactory.demo import nodes
from tests.servers.lakefs import LakeFSServer
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
PACKAGE = "kedro_statisfactory/demo"
OUTPUTS = {
    "clean/penguins.parquet",
    "model/score.json",
    "model/species.pkl",
    "report/figures.json",
    "report/flipper_and_mass.png",
}
MEASUREMENTS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy what makes the root a Kedro project, so that a run writes nothing to the checkout.

    Returns:
        The copy's folder, which is the current one. The code stays the checkout's.
    """
    shutil.copytree(ROOT / "conf", tmp_path / "conf", ignore=shutil.ignore_patterns("local"))
    (tmp_path / "conf/local").mkdir()
    (tmp_path / PACKAGE).mkdir(parents=True)
    for file in ("pyproject.toml", ".telemetry", f"{PACKAGE}/penguins.csv"):
        shutil.copy(ROOT / file, tmp_path / file)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for variable in ("KEDRO_ENV", "STATISFACTORY_DEMO_BUCKET", "STATISFACTORY_DEMO_REPOSITORY"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def run(project: Path) -> Any:
    """Run the whole pipeline and return the project's catalog."""
    bootstrap_project(project)
    with KedroSession.create(project) as session:
        assert isinstance(session, KedroSession)
        session.run()
        return session.load_context().catalog


def catalog_of(project: Path, env: str) -> Any:
    """Return the project's catalog in an environment."""
    bootstrap_project(project)
    with KedroSession.create(project, env=env) as session:
        assert isinstance(session, KedroSession)
        return session.load_context().catalog


def entries(project: Path, env: str | None) -> dict[str, dict[str, Any]]:
    """Return the catalog's configuration in an environment, by the names of the entries."""
    bootstrap_project(project)
    with KedroSession.create(project, env=env) as session:
        assert isinstance(session, KedroSession)
        catalog: dict[str, dict[str, Any]] = session.load_context().config_loader["catalog"]
    return catalog


def contents(project: Path) -> dict[str, bytes]:
    """Return the bytes of every file under `data/`, by the path there."""
    data = project / "data"
    return {path.relative_to(data).as_posix(): path.read_bytes() for path in data.rglob("*") if path.is_file()}


def test_run_makes_what_the_catalog_names(project: Path) -> None:
    catalog = run(project)

    assert contents(project).keys() == OUTPUTS

    raw = catalog.load("raw_penguins")
    assert raw.shape == (344, 8)
    assert Counter(raw["species"]) == {"Adelie": 152, "Gentoo": 124, "Chinstrap": 68}

    penguins = catalog.load("penguins")
    assert penguins.shape == (342, 8)
    assert list(penguins.columns) == list(raw.columns)
    assert not penguins[MEASUREMENTS].isna().any(axis=None)
    assert penguins.dtypes.map(str).to_dict() == {
        "species": "category",
        "island": "category",
        "bill_length_mm": "float64",
        "bill_depth_mm": "float64",
        "flipper_length_mm": "int64",
        "body_mass_g": "int64",
        "sex": "category",
        "year": "int64",
    }

    figures = catalog.load("figures")
    assert {species: row["count"] for species, row in figures.items()} == {
        "Adelie": 151,
        "Chinstrap": 68,
        "Gentoo": 123,
    }
    with (ROOT / PACKAGE / "penguins.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["body_mass_g"] != "NA"]
    for species, row in figures.items():
        for column in MEASUREMENTS:
            mean = statistics.fmean(float(bird[column]) for bird in rows if bird["species"] == species)
            assert row[f"mean_{column}"] == pytest.approx(mean, abs=0.05 + 1e-9)

    score = catalog.load("score")
    assert score["birds"] == 86
    assert 0.95 < score["accuracy"] <= 1

    birds = pd.DataFrame(
        [[38.8, 18.3, 190, 3700], [48.8, 18.4, 196, 3733], [47.5, 15.0, 217, 5076]], columns=MEASUREMENTS
    )
    assert list(catalog.load("model").predict(birds)) == ["Adelie", "Chinstrap", "Gentoo"]


def test_plot_is_a_png_of_the_expected_size(project: Path) -> None:
    run(project)

    path = project / "data/report/flipper_and_mass.png"
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    with Image.open(path) as picture:
        picture.load()
        assert picture.size == (1200, 750)
        assert "Software" not in picture.info
        colours = picture.convert("RGB").getcolors(picture.width * picture.height)
    assert colours is not None
    assert len(colours) > 100, "the picture is empty"


def test_plot_names_species_and_units(project: Path) -> None:
    figure = nodes.draw(nodes.clean(pd.read_csv(f"{PACKAGE}/penguins.csv")))

    (axes,) = figure.axes
    assert axes.get_xlabel() == "Flipper length (mm)"
    assert axes.get_ylabel() == "Body mass (kg)"
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["Adelie (151)", "Chinstrap (68)", "Gentoo (123)"]


def test_second_run_writes_the_same_bytes(project: Path) -> None:
    run(project)
    first = contents(project)
    shutil.rmtree(project / "data")
    run(project)

    assert contents(project) == first
    assert first.keys() == OUTPUTS


def test_run_in_s3_stores_the_same_bytes(project: Path, seaweed: S3Server, bucket: str) -> None:
    environment = {**os.environ, **seaweed.environment, "STATISFACTORY_DEMO_BUCKET": bucket}
    command = [sys.executable, "-m", "kedro", "run", "--env", "s3"]

    ended = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert contents(project) == {}, "a run in S3 wrote to the local root"
    client = boto3.client(
        "s3",
        endpoint_url=seaweed.endpoint_url,
        aws_access_key_id=seaweed.access_key,
        aws_secret_access_key=seaweed.secret_key,
        region_name="us-east-1",
    )
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]]
    stored = {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}
    run(project)
    assert stored == contents(project)


def test_data_in_lakefs_follows_the_git_branch(
    project: Path, monkeypatch: pytest.MonkeyPatch, lakefs_local: LakeFSServer
) -> None:
    repository = lakefs_local.new_repository()
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    who = {f"GIT_{each}_{what}": "test@example.com" for each in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    server = {**lakefs_local.environment, "STATISFACTORY_DEMO_REPOSITORY": repository}
    for name, value in {**server, **who, "GIT_CONFIG_GLOBAL": os.devnull}.items():
        monkeypatch.setenv(name, value)

    def call(*command: str) -> None:
        ended = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr

    def stored(branch: str) -> dict[str, bytes]:
        where = f"/repositories/{repository}/refs/{branch}/objects"
        listing = lakefs_local.call("GET", f"{where}/ls?amount=1000").json()["results"]
        paths = [found["path"] for found in listing if not found["path"].startswith(".statisfactory/")]
        return {path: lakefs_local.call("GET", f"{where}?path={quote(path, safe='')}").data for path in paths}

    def birds() -> Any:
        return catalog_of(project, "lakefs").load("score")["birds"]

    call("git", "init", "-q", "-b", "main")
    call("git", "add", "-A")
    call("git", "commit", "-qm", "the demo")
    call(sys.executable, "-m", "kedro", "run", "--env", "lakefs")
    assert contents(project) == {}, "a run in lakeFS wrote to the local root"
    run(project)
    on_main = contents(project)
    assert stored("main") == on_main
    assert birds() == 86

    call("git", "switch", "-qc", "feature/x")
    assert birds() == 86, "a branch that nothing was written to is read where it will be made from"
    parameters = project / "conf/base/parameters.yml"
    parameters.write_text(parameters.read_text().replace("test_size: 0.25", "test_size: 0.5"))
    call("git", "commit", "-qam", "another share")
    call(sys.executable, "-m", "kedro", "run", "--env", "lakefs")
    assert birds() == 171
    assert stored("feature--x").keys() == OUTPUTS
    assert stored("feature--x") != on_main
    assert stored("main") == on_main, "a run on another git branch wrote to the data of main"

    call("git", "switch", "-q", "main")
    assert birds() == 86


def test_module_runs_like_the_command(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["demo", "--to-outputs", "model"])

    with pytest.raises(SystemExit) as ended:
        runpy.run_module("kedro_statisfactory.demo", run_name="__main__")

    assert not ended.value.code
    assert contents(project).keys() == {"clean/penguins.parquet", "model/species.pkl"}
    model = pickle.loads((project / "data/model/species.pkl").read_bytes())
    assert list(model.classes_) == ["Adelie", "Chinstrap", "Gentoo"]


def test_module_starts_no_run_in_the_workers_of_a_runner(project: Path) -> None:
    # The name under which multiprocessing imports the main module again in a spawned process.
    runpy.run_module("kedro_statisfactory.demo", run_name="__mp_main__")

    assert contents(project) == {}


def test_run_asks_nothing_of_the_network(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # kedro-telemetry reports unless it is told otherwise, by these or by the project's `.telemetry`.
    for variable in ("DO_NOT_TRACK", "KEDRO_DISABLE_TELEMETRY", "GITHUB_REPOSITORY_OWNER"):
        monkeypatch.delenv(variable, raising=False)
    asked: list[object] = []

    def refuse(host: object, *_: object, **__: object) -> None:
        asked.append(host)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    before = (project / "pyproject.toml").read_bytes()

    run(project)

    assert asked == []
    assert (project / "pyproject.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("env", "variables", "root"),
    [
        (None, {}, "data"),
        ("s3", {}, "s3://kedro-statisfactory-demo"),
        ("s3", {"STATISFACTORY_DEMO_BUCKET": "penguins"}, "s3://penguins"),
        ("lakefs", {}, "lakefs://demo"),
        ("lakefs", {"STATISFACTORY_DEMO_REPOSITORY": "birds"}, "lakefs://birds"),
    ],
)
def test_environments_differ_in_the_root_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch, env: str | None, variables: dict[str, str], root: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    catalog = entries(project, env)

    assert {entry["type"] for entry in catalog.values()} == {"kedro_statisfactory.ArtifactDataset"}
    places = {name: entry["filepath"] for name, entry in catalog.items()}
    assert places.pop("raw_penguins") == f"{PACKAGE}/penguins.csv"
    assert set(places.values()) == {f"{root}/{output}" for output in OUTPUTS}

    local = entries(project, None)
    assert [{**entry, "filepath": ""} for entry in catalog.values()] == [
        {**entry, "filepath": ""} for entry in local.values()
    ]


def test_clean_keeps_birds_of_unknown_sex() -> None:
    raw = pd.DataFrame(
        {
            "species": ["Adelie", "Gentoo", "Gentoo"],
            "island": ["Dream", "Biscoe", "Biscoe"],
            "bill_length_mm": [39.1, None, 47.0],
            "bill_depth_mm": [18.7, 14.0, 15.0],
            "flipper_length_mm": [181.0, 215.0, 217.0],
            "body_mass_g": [3750.0, 5000.0, 5100.0],
            "sex": ["male", "female", None],
            "year": [2007, 2008, 2009],
        }
    )

    penguins = nodes.clean(raw)

    assert list(penguins.index) == [0, 1]
    assert list(penguins["body_mass_g"]) == [3750, 5100]
    assert penguins["sex"].isna().tolist() == [False, True]


def test_split_is_the_seeds(project: Path) -> None:
    penguins = nodes.clean(pd.read_csv(f"{PACKAGE}/penguins.csv"))

    train, test = nodes.split(penguins, test_size=0.25, seed=1)
    again, _ = nodes.split(penguins, test_size=0.25, seed=1)
    other, _ = nodes.split(penguins, test_size=0.25, seed=2)

    assert sorted([*train.index, *test.index]) == list(penguins.index)
    assert list(again.index) == list(train.index)
    assert list(other.index) != list(train.index)
    assert Counter(test["species"]) == {"Adelie": 38, "Gentoo": 31, "Chinstrap": 17}
