"""Runs in the words of programs: what ``--json`` tells of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kedro_statisfactory.runs.past import Output, PastRun


def run_as_json(run: PastRun) -> dict[str, Any]:
    """What is told of a run in a list."""
    facts = run.facts
    return {
        "id": run.id,
        "started": facts.get("kedro_started"),
        "finished": facts.get("kedro_finished"),
        "seconds": run.seconds,
        "user": facts.get("kedro_user"),
        "host": facts.get("kedro_host"),
        "git_branch": facts.get("git_branch"),
        "git_commits": run.git_commits,
        "dirty": run.is_dirty,
        "pipeline": facts.get("kedro_pipeline"),
        "env": facts.get("kedro_env"),
        "taken_back": run.taken_back,
        "commits": [
            {"repository": share.repository, "data_branch": share.data_branch, "commit": share.commit.id}
            for share in run.shares
        ],
        "outputs": [output_as_json(output) for output in run.outputs],
    }


def output_as_json(output: Output) -> dict[str, Any]:
    """What is told of something that a run wrote."""
    return {
        "entry": output.entry,
        "url": f"lakefs://{output.repository}/{output.path}",
        "checksum": output.checksum or None,
        "objects": output.objects,
        "size": output.size,
    }


def code_of(run: PastRun) -> str:
    """Git branch and SHA of a run, with a star where the code had changes that no commit has."""
    shas = ", ".join(sha[:7] for sha in run.git_commits)
    return " ".join(filter(None, (run.facts.get("git_branch", ""), f"{shas}{'*' * run.is_dirty}")))
