"""What the commit of the newest run tells, and an input from elsewhere for it to tell of."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.runs.conftest import KedroProject


def metadata_of(project: KedroProject) -> dict[str, str]:
    return dict(project.log()[0].metadata)


def with_input(project: KedroProject, **entry: Any) -> None:
    """Let the pipeline read its total from elsewhere."""
    file = project.path / "conf/base/catalog.yml"
    catalog = yaml.safe_load(file.read_text())
    catalog["total_before"] = entry
    file.write_text(yaml.safe_dump(catalog))


def input_told(project: KedroProject) -> dict[str, str]:
    found: dict[str, str] = json.loads(metadata_of(project)["kedro_inputs"])["total_before"]
    return found
