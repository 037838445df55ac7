"""Runs that share an id, and runs of several processes that are finished while a part of them lands."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from kedro.framework.session import KedroServiceSession
from kedro.framework.startup import bootstrap_project

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.project import RUN_ID
from tests.runs.histories.machine import VALUES, Machine

#: Calls of a finish before which a part may land.
CALLS = ["merge", "create_tag", "delete_branch", "branches", "log"]


class Joining(Machine):
    """The same where ids do not tell runs apart."""

    @precondition(lambda self: self.model.runs)
    @rule(data=st.data(), value=VALUES)
    def use_an_id_again(self, data: st.DataObject, value: int) -> None:
        """Run with the id of an earlier run, whose data that id means still."""
        run_id, before = data.draw(st.sampled_from(list(self.model.runs))), self.project.tags().keys()
        wrote = self.makes(value)
        bootstrap_project(self.project.path)
        session = KedroServiceSession.create(project_path=self.project.path)
        session.run(run_id=run_id, pipeline_names=["with_folder"], runtime_params={"value": value})
        found_by = [name for name in self.project.tags().keys() - before if not name.startswith("kedro-git-")]
        assert len(found_by) == 1, "nothing finds the run"
        self.lands(found_by[0].removeprefix("kedro-"), wrote)

    @rule(value=VALUES, call=st.sampled_from(CALLS), after=st.booleans())
    def finish_while_a_part_lands(self, value: int, call: str, after: bool) -> None:
        """Finish a run of two processes, of which one is late."""
        run_id, wrote = f"joined-{next(self.numbers)}", self.makes(value)
        second: dict[str, Any] = {"value": value, "pipeline": "with_folder", "nodes": ["add", "parts"]}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(RUN_ID, run_id)
            self.project.run(value, pipeline="with_folder", nodes=["first", "second"])
            failed = self._finish(run_id, call, after, second)
            self.project.invoke("run", "finish", run_id)
            is_there = self._read("total", self.project.on(self.branch)) == sum(wrote["total"])
            assert is_there or failed, f"a part was lost that came {'after' if after else 'before'} {call}"
            if not is_there:
                self.project.run(**second)
                done = self.project.invoke("run", "finish", run_id)
                assert done.exit_code == 0, done.output
        parts = {name: wrote[name] for name in ("a", "b")}, {name: wrote[name] for name in ("total", "folder")}
        if f"kedro-{run_id}--attempt-2" in self.project.tags():
            self.lands(run_id, parts[0])
            self.lands(f"{run_id}--attempt-2", parts[1])
        else:
            self.lands(run_id, wrote)

    def _finish(self, run_id: str, call: str, after: bool, part_of: dict[str, Any]) -> bool:
        """Finish a run, and let a part of it run at the first call of its kind; gives whether that has failed."""
        original, todo, failed = getattr(LakeFSAPI, call), [part_of], list[BaseException]()

        def part() -> None:
            if todo:
                try:
                    self.project.run(**todo.pop())
                except Exception as error:
                    failed.append(error)

        def called(*arguments: Any, **more: Any) -> Any:
            if not after:
                part()
            answer = original(*arguments, **more)
            part()
            return answer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LakeFSAPI, call, called)
            done = self.project.invoke("run", "finish", run_id)
        assert done.exit_code == 0, done.output
        return bool(failed)
