"""`python -m kedro_statisfactory.demo`: the same as `kedro run`, with the same options, in the project's folder."""

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project

PACKAGE = "kedro_statisfactory.demo"


def main() -> None:
    """Run the pipeline with the options of the command line, then end the process with Kedro's exit status."""
    configure_project(PACKAGE)
    find_run_command(PACKAGE)()


if __name__ == "__main__":
    main()
