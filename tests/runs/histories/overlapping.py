"""Others at work while a run is: other runs, and tools that know nothing of runs."""

from __future__ import annotations

import re

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from kedro_statisfactory.errors import MergeConflict
from tests.runs.histories.machine import NODES, VALUES, Machine
from tests.runs.histories.model import NOTHING, State, overlaps

#: Nodes that may run without others; `a` is there for them, or they make it.
_WITH_A = [("first", "second", "add", "parts"), ("first", "second"), ("first", "add"), ("first", "parts"), ("parts",)]
_ON_A = [("second",), ("add",), ("second", "add", "parts")]


class Overlapping(Machine):
    """The same where several do something at once."""

    @precondition(lambda self: self.branch in self.model.data)
    @rule(data=st.data())
    def use_another_tool(self, data: st.DataObject) -> None:
        """Write an object without this package, and commit it."""
        self._write_by_another_tool(data.draw(st.sampled_from(["a", "folder", "else"])))
        self.project.api.create_commit(self.project.repository, self._data_branch, "Another tool", {})

    @rule(data=st.data())
    def overlap(self, data: st.DataObject) -> None:
        """Begin a run, let others do something, and end it; it may make the bytes again that were there before."""
        base = self.predicted(self.branch)
        value, nodes = self._draw_run(data, base)
        where = data.draw(st.sampled_from(nodes))
        wrote = self.makes(value, nodes)
        with self.project.waiting_run(where, value=value, pipeline="with_folder", nodes=list(nodes)) as run:
            self._disturb(data, base, value)
        head = self.predicted(self.branch)
        if not (hit := overlaps(base, head, wrote)):
            self.lands(run.result(), wrote)
            return
        error = run.exception()
        assert isinstance(error, MergeConflict), f"{sorted(hit)} of {wrote} were {base} and are {head}: {error!r}"
        assert f"the entries {', '.join(sorted(hit))} (" in str(error)
        (run_id,) = set(re.findall(r"(?:finish|abort) (\S+)`", str(error)))
        self._settle(data.draw(st.sampled_from(["abort", "source-wins", "dest-wins"])), run_id, wrote, hit)

    def _draw_run(self, data: st.DataObject, base: State) -> tuple[int, tuple[str, ...]]:
        there = [number for number in base.get("a", NOTHING) if number < 100]
        made_again = bool(there) and data.draw(st.booleans())
        value = data.draw(st.sampled_from(there) if made_again else VALUES)
        return value, data.draw(st.sampled_from(_WITH_A + (_ON_A if "a" in base else [])))

    def _disturb(self, data: st.DataObject, base: State, value: int) -> None:
        """Do what others may do while a run goes on that makes ``value`` of ``base``."""
        tools = ["a", "folder", "else"] if self.branch in self.model.data else []
        what = data.draw(st.sampled_from(["run", "run", *tools]))
        if what == "run":
            other, nodes = self._draw_run(data, base)
            self.run(value if data.draw(st.booleans()) else other, nodes)
            return
        self._write_by_another_tool(what)
        if data.draw(st.booleans()):  # else it leaves that to whoever comes next
            self.project.api.create_commit(self.project.repository, self._data_branch, "Another tool", {})

    def _write_by_another_tool(self, name: str) -> None:
        # Larger than what runs make of a parameter, and no sum of some of them is that of others.
        number, state = 100 << next(self.numbers), self.model.data[self.branch]
        if name == "folder":
            self.project.write(f"folder/{number}.part", number, self._data_branch)
            self.model.data[self.branch] = {**state, name: state.get(name, NOTHING) | {number}}
            return
        self.project.write(f"{name}.json", number, self._data_branch)
        if name in NODES.values():
            self.model.data[self.branch] = {**state, name: frozenset({number})}

    @property
    def _data_branch(self) -> str:
        return self.branch.replace("/", "--")

    def _settle(self, way: str, run_id: str, wrote: State, hit: frozenset[str]) -> None:
        """End a run that waits because of a conflict."""
        if way != "abort":
            done = self.project.invoke("run", "finish", run_id, "--merge", way)
            if "folder" not in hit:
                assert done.exit_code == 0, done.output
                self.lands(run_id, wrote, hit if way == "dest-wins" else frozenset())
                return
            assert done.exit_code == 1, "a folder would have become a mixture"
        done = self.project.invoke("run", "abort", run_id)
        assert f"The run {run_id} is dropped." in done.output
