"""Only what moves changes: comments, anchors, factories, quotes and order stay, byte for byte."""

from __future__ import annotations

import textwrap

import pytest

from tests.plugin.migrate.conftest import OURS, Moving

pytestmark = pytest.mark.once


# What stands in a catalog, and what shall stand there; the rest of the file is around each.
CASES = {
    "comments": (
        """
        table:   # of all
            # its class
            type:   pandas.CSVDataset   # of pandas

            filepath:   'data/x.csv'  # single
            # how to load
            load_args:
                sep:   ";"   # German

            # of everybody
            metadata:
              kedro-viz: {layer: raw}
            save_args: &save {index: false}
            # the end
        """,
        f"""
        table:   # of all
            # its class
            type: {OURS}

            filepath:   'data/x.csv'  # single
            dataset:
                type:   pandas.CSVDataset   # of pandas
                # how to load
                load_args:
                    sep:   ";"   # German
                save_args: &save {{index: false}}

            # of everybody
            metadata:
              kedro-viz: {{layer: raw}}
            # the end
        """,
    ),
    "an order of one's own": (
        """
        ordered:
          filepath: data/x.txt
          type: text.TextDataset
        """,
        f"""
        ordered:
          filepath: data/x.txt
          type: {OURS}
          dataset: text.TextDataset
        """,
    ),
    "braces": (
        """
        braces: {type: pandas.CSVDataset,  filepath: "data/x.csv",  save_args: &s {a: 1}}
        other: { filepath: data/y.csv, "type": pandas.CSVDataset, save_args: *s, }
        three: {
          type: text.TextDataset,
          filepath: data/y.txt
        }
        """,
        f"""
        braces: {{type: {OURS},  filepath: "data/x.csv",  dataset: {{type: pandas.CSVDataset, save_args: &s {{a: 1}}}}}}
        other: {{ filepath: data/y.csv, type: {OURS}, dataset: {{"type": pandas.CSVDataset, save_args: *s}}, }}
        three: {{
          type: {OURS},
          filepath: data/y.txt,
          dataset: text.TextDataset
        }}
        """,
    ),
    "a template": (
        """
        _csv: &csv
          type: pandas.CSVDataset
          load_args:
            sep: ";"

        plain:
          <<: *csv
          filepath: data/plain.csv
        more:
          <<: *csv
          filepath: data/more.csv
          save_args:
            index: false
        """,
        f"""
        _csv: &csv
          type: {OURS}
          dataset: &csv_dataset
            type: pandas.CSVDataset
            load_args:
              sep: ";"

        plain:
          <<: *csv
          filepath: data/plain.csv
        more:
          <<: *csv
          filepath: data/more.csv
          dataset:
            <<: *csv_dataset
            save_args:
              index: false
        """,
    ),
    "two templates": (
        """
        _templates:
          loads: &loads {load_args: {sep: ";"}}
          saves: &saves
            save_args: {index: false}
          another: &saves_dataset {}
        one:
          <<: *loads
          type: pandas.CSVDataset
          filepath: data/1.csv
        two:
          <<: [*loads, *saves]
          filepath: data/2.csv
          type: pandas.CSVDataset
        """,
        f"""
        _templates:
          loads: &loads {{dataset: &loads_dataset {{load_args: {{sep: ";"}}}}}}
          saves: &saves
            dataset: &saves_dataset_
              save_args: {{index: false}}
          another: &saves_dataset {{}}
        one:
          <<: *loads
          type: {OURS}
          filepath: data/1.csv
          dataset:
            <<: *loads_dataset
            type: pandas.CSVDataset
        two:
          <<: [*loads, *saves]
          filepath: data/2.csv
          type: {OURS}
          dataset:
            <<: [*loads_dataset, *saves_dataset_]
            type: pandas.CSVDataset
        """,
    ),
    "a template that needs no change": (
        """
        _all: &all {versioned: true, fs_args: {auto_mkdir: true}}
        shared: {<<: *all, type: text.TextDataset, filepath: data/1.txt}
        """,
        f"""
        _all: &all {{versioned: true, fs_args: {{auto_mkdir: true}}}}
        shared: {{<<: *all, type: {OURS}, filepath: data/1.txt, dataset: text.TextDataset}}
        """,
    ),
    "factories and interpolations": (
        """
        _raw: data/01_raw
        _pandas: {type: pandas.CSVDataset, load_args: {sep: ";"}}
        "{name}_csv":
          type: ${_pandas.type}
          filepath: ${_raw}/${globals:country}/{name}.csv
          load_args: ${_pandas.load_args}
          credentials: "{name}_key"
        by_parameter:
          type: text.TextDataset
          filepath: data/${runtime_params:day.hour}/x.txt
        follows: ${by_parameter}
        """,
        f"""
        _raw: data/01_raw
        _pandas: {{type: pandas.CSVDataset, load_args: {{sep: ";"}}}}
        "{{name}}_csv":
          type: {OURS}
          filepath: ${{_raw}}/${{globals:country}}/{{name}}.csv
          dataset:
            type: ${{_pandas.type}}
            load_args: ${{_pandas.load_args}}
          credentials: "{{name}}_key"
        by_parameter:
          type: {OURS}
          filepath: data/${{runtime_params:day.hour}}/x.txt
          dataset: text.TextDataset
        follows: ${{by_parameter}}
        """,
    ),
    "layers, collections, connections": (
        """
        layered:
          type: text.TextDataset
          filepath: data/x.txt
          layer: "raw"  # of kedro-viz
        days:
          type: partitions.PartitionedDataset
          path: "data/days/"
          dataset: text.TextDataset
        opened:
          type: text.TextDataset
          filepath: data/o.txt
          fs_args:
            open_args_save:
              mode: a
        closed:
          fs_args:
          type: text.TextDataset
          filepath: data/c.txt
        listed:
          type: pandas.CSVDataset
          load_args:
            usecols:
            - &id a
            - *id

            # the last one
          filepath: data/l.csv
        """,
        f"""
        layered:
          type: {OURS}
          filepath: data/x.txt
          dataset: text.TextDataset
          metadata: {{kedro-viz: {{layer: "raw"}}}}  # of kedro-viz
        days:
          type: {OURS}
          filepath: "data/days"
          dataset:
            type: partitions.PartitionedDataset
            dataset: text.TextDataset
        opened:
          type: {OURS}
          filepath: data/o.txt
          dataset:
            type: text.TextDataset
            fs_args:
              open_args_save:
                mode: a
        closed:
          fs_args:
          type: {OURS}
          filepath: data/c.txt
          dataset: text.TextDataset
        listed:
          type: {OURS}

            # the last one
          filepath: data/l.csv
          dataset:
            type: pandas.CSVDataset
            load_args:
              usecols:
              - &id a
              - *id
        """,
    ),
    "texts of several lines": (
        """
        model:
          load_args:
            note: |
              # no comment

            columns:
            - a
          type: pickle.PickleDataset
          filepath: data/m.pkl
          metadata:
            note: >-
              # no comment

              of two
        """,
        f"""
        model:
          type: {OURS}
          filepath: data/m.pkl
          dataset:
            load_args:
              note: |
                # no comment

              columns:
              - a
            type: pickle.PickleDataset
          metadata:
            note: >-
              # no comment

              of two
        """,
    ),
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_only_what_moves_changes(end: str, moving: Moving) -> None:
    moving.write("country: ch\n", "base/globals.yml")
    mark = "\ufeff" if end == "\r\n" else ""
    expected = {}
    for number, case in enumerate(CASES):
        before, after = (textwrap.dedent(text).replace("\n", end) for text in CASES[case])
        last = f"{end}{end}zzz_{number}:   {{type:   MemoryDataset}}   # last"
        around = f"{mark}# About   this{end}_odd:   [1,   2]  # kept{end}", last
        moving.write(before.join(around), f"base/catalog_{number}.yml")
        expected[case] = after.join(around)
    moving.migrate()
    for number, case in enumerate(CASES):
        assert moving.read(f"base/catalog_{number}.yml") == expected[case], case


def test_an_entry_lives_below_the_root_afterwards(moving: Moving) -> None:
    moving.write("bucket: s3://b\nraw: data/01_raw\n", "base/globals.yml")
    moving.write(
        textwrap.dedent(
            f"""\
            quoted: {{type: text.TextDataset, filepath: &q "data/q.txt", credentials: key}}
            resolved: {{type: text.TextDataset, filepath: '${{globals:raw}}/r.txt'}}
            ours: {{type: {OURS}, filepath: data/o.txt}}
            days: {{type: partitions.PartitionedDataset, path: data/days, dataset: text.TextDataset}}
            elsewhere: {{type: text.TextDataset, filepath: '${{globals:bucket}}/e.txt'}}
            ours_elsewhere: {{type: {OURS}, filepath: s3://b/o.txt}}
            absolute: {{type: text.TextDataset, filepath: /data/a.txt}}
            dotted: {{type: text.TextDataset, filepath: ./data/d.txt}}
            """
        )
    )
    output = moving.migrate("--root", "lakefs://analytics/all/")
    found = {name: entry["filepath"] for name, entry in moving.entries().items()}
    assert found == {
        "quoted": "lakefs://analytics/all/data/q.txt",
        "resolved": "lakefs://analytics/all/data/01_raw/r.txt",
        "ours": "lakefs://analytics/all/data/o.txt",
        "days": "lakefs://analytics/all/data/days",
        "elsewhere": "s3://b/e.txt",
        "ours_elsewhere": "s3://b/o.txt",
        "absolute": "/data/a.txt",
        "dotted": "./data/d.txt",
    }
    text = moving.read()
    assert 'filepath: &q "lakefs://analytics/all/data/q.txt"' in text
    assert "filepath: 'lakefs://analytics/all/${globals:raw}/r.txt'" in text
    assert {entry["type"] for entry in moving.entries().values()} == {OURS}
    assert "elsewhere: it stays at 's3://b/e.txt', which is no path of the project." in output
    assert "quoted: its `credentials` are kept: name those of the new place, where these are others." in output
    assert output.count("are kept") == 1
    assert "ours_elsewhere: left, because it stays at 's3://b/o.txt'" in output
    assert "absolute: it stays at '/data/a.txt', which is no path of the project." in output
    assert "dotted: it stays at './data/d.txt': write that without '.', '..' and '//' first." in output
