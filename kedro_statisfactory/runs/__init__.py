"""Runs of a pipeline on lakeFS: what a run writes appears on the data branch all at once, or not at all.

An isolated run works on a hidden branch per repository. When it succeeds, each of these gets one commit, is merged into
its data branch, tagged and dropped; when it fails they are dropped, and the data branches were never touched.

One run over several processes, each of them a run of Kedro, is joined by ``STATISFACTORY_RUN_ID``: they work on one
branch and commit there, and the command ``kedro statisfactory run finish`` does the rest.
"""

from __future__ import annotations

from kedro_statisfactory.project import RUN_ID
from kedro_statisfactory.runs.beginning import begin
from kedro_statisfactory.runs.run import Run
from kedro_statisfactory.runs.use import Use

__all__ = ["RUN_ID", "Run", "Use", "begin"]
