"""The catalog of Kedro's starter moves whole, once, and not at all in a dry run."""

from __future__ import annotations

import pytest

from tests.plugin.migrate.conftest import OURS, Moving, changed

pytestmark = pytest.mark.once

# What Kedro's starter spaceflights-pandas has for a catalog, with the entries of its plots.
SPACEFLIGHTS = """\
# Here you can define all your datasets by using simple YAML syntax.
#
# Documentation for this file format can be found in "The Data Catalog"

companies:
  type: pandas.CSVDataset
  filepath: data/01_raw/companies.csv

reviews:
  type: pandas.CSVDataset
  filepath: data/01_raw/reviews.csv

shuttles:
  type: pandas.ExcelDataset
  filepath: data/01_raw/shuttles.xlsx
  load_args:
    engine: openpyxl

preprocessed_companies:
  type: pandas.ParquetDataset
  filepath: data/02_intermediate/preprocessed_companies.parquet

preprocessed_shuttles:
  type: pandas.ParquetDataset
  filepath: data/02_intermediate/preprocessed_shuttles.parquet

model_input_table:
  type: pandas.ParquetDataset
  filepath: data/03_primary/model_input_table.parquet

regressor:
  type: pickle.PickleDataset
  filepath: data/06_models/regressor.pickle
  versioned: true

shuttle_passenger_capacity_plot_exp:
  type: plotly.PlotlyDataset
  filepath: data/08_reporting/shuttle_passenger_capacity_plot_exp.json
  versioned: true
  plotly_args:
    type: bar
    fig:
      x: shuttle_type
      y: passenger_capacity
      orientation: h
    layout:
      xaxis_title: Shuttles
      yaxis_title: Average passenger capacity
      title: Shuttle Passenger capacity

shuttle_passenger_capacity_plot_go:
  type: plotly.JSONDataset
  filepath: data/08_reporting/shuttle_passenger_capacity_plot_go.json
  versioned: true

dummy_confusion_matrix:
  type: matplotlib.MatplotlibDataset
  filepath: data/08_reporting/dummy_confusion_matrix.png
  versioned: true
"""


def test_the_catalog_of_kedros_starter_moves_whole(moving: Moving) -> None:
    moving.write(SPACEFLIGHTS)
    before = moving.entries()
    output = moving.migrate()
    after = moving.entries()
    assert list(after) == list(before)
    for name, entry in before.items():
        dataset = {key: value for key, value in entry.items() if key not in ("filepath", "versioned")}
        own = {key: value for key, value in entry.items() if key in ("filepath", "versioned")}
        assert after[name] == {**own, "type": OURS, "dataset": dataset["type"] if len(dataset) == 1 else dataset}
    assert "10 entries in 1 files are rewritten, 0 are left as they are." in output
    text = moving.read()
    assert text.startswith(SPACEFLIGHTS.partition("companies:")[0])
    assert "  dataset:\n    type: pandas.ExcelDataset\n    load_args:\n      engine: openpyxl\n" in text
    assert "  dataset: pickle.PickleDataset\n  versioned: true\n" in text


def test_a_second_run_changes_nothing(moving: Moving) -> None:
    path = moving.write(SPACEFLIGHTS)
    moving.migrate("--root", "s3://bucket")
    text, state = moving.read(), path.stat()
    for options in (["--root", "s3://bucket/"], []):
        output = moving.migrate(*options)
        assert "Nothing to rewrite; 10 entries are left as they are." in output
        assert "companies, reviews, shuttles" in output
        assert "it is an ArtifactDataset already" in output
    assert moving.read() == text
    assert path.stat() == state


def test_a_dry_run_shows_the_difference_and_writes_nothing(moving: Moving) -> None:
    moving.write(SPACEFLIGHTS)
    output = moving.migrate("--dry-run", "--root", "lakefs://analytics")
    assert moving.read() == SPACEFLIGHTS
    minus, plus = changed(output)
    assert "  filepath: data/06_models/regressor.pickle" in minus
    assert "  filepath: lakefs://analytics/data/06_models/regressor.pickle" in plus
    assert "10 entries in 1 files would be rewritten" in output
    assert "regressor, shuttle_passenger_capacity_plot_exp, " in output
    assert "each run is a version there, and versions in folders stay where they are." in output
    assert "\x1b[31m-" not in output
    assert "\x1b[31m-" in moving.migrate("--dry-run", colour=True)
