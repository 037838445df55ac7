"""What follows from what: the raw table, the clean one, and three things made of it."""

from kedro.pipeline import Node, Pipeline

from kedro_statisfactory.demo import nodes


def create_pipeline() -> Pipeline:
    """Build the pipeline of the demo.

    Returns:
        Six nodes from `raw_penguins` to `figures`, `plot`, `model` and `score`. `train` and `test` are not in the
        catalog: they stay in memory.
    """
    return Pipeline(
        [
            Node(nodes.clean, "raw_penguins", "penguins"),
            Node(nodes.summarise, "penguins", "figures"),
            Node(nodes.draw, "penguins", "plot"),
            Node(nodes.split, ["penguins", "params:test_size", "params:seed"], ["train", "test"]),
            Node(nodes.fit, "train", "model"),
            Node(nodes.score, ["model", "test"], "score"),
        ]
    )
