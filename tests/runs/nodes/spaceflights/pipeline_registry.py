"""The pipelines of the project, as Kedro finds them."""

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline


def register_pipelines() -> dict[str, Pipeline]:
    """All of them, and their sum."""
    found = find_pipelines()
    return {**found, "__default__": sum(found.values(), Pipeline([]))}
