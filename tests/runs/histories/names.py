"""Names of git branches that are used again: for other code than that whose data is there under the name."""

from __future__ import annotations

import time

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from kedro.io import DatasetError

from tests.runs.histories.machine import VALUES, Machine


class Names(Machine):
    """The same where branches of git are deleted and made anew."""

    @precondition(lambda self: self.branch != "main")
    @rule(value=VALUES, way=st.sampled_from(["--adopt", "--reset"]))
    def use_a_name_again(self, value: int, way: str) -> None:
        """Delete the branch on which a run was made, and give its name to another one."""
        self.change_code()
        self.run(value)
        self.project.git("switch", "-q", "main")
        self.project.git("branch", "-qD", self.branch)
        # git tells the time in seconds: the old run must not seem to be made within the second of the new branch.
        later = f"@{int(time.time()) + 2} +0000"
        self.project.git("switch", "-qc", self.branch, "main", GIT_COMMITTER_DATE=later)
        self.model.parents[self.branch] = "main"
        with pytest.raises(DatasetError, match="has runs of another git branch of this name"):
            self.project.run(1000)
        self.everything_reads_as_predicted()
        done = self.project.invoke("branch", way)
        assert done.exit_code == 0, done.output
        if way == "--adopt":
            self.model.note(self.branch, self.sha, frozenset(), self.model.logs[self.branch])
        else:
            self.model.reset(self.branch)
