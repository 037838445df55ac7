"""The pipelines that `kedro run` knows."""

from kedro.pipeline import Pipeline

from kedro_statisfactory.demo.pipeline import create_pipeline


def register_pipelines() -> dict[str, Pipeline]:
    """Name the project's pipelines.

    Returns:
        The one pipeline, as the default.
    """
    return {"__default__": create_pipeline()}
