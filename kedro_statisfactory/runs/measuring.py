"""How large what a run wrote is, and what it is, as the repository tells it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from kedro_statisfactory.errors import ObjectNotFound
from kedro_statisfactory.runs.past import Output, PastRun, Share

_AT_ONCE = 8


def with_sizes(run: PastRun) -> list[Output]:
    """What a run wrote, with sizes; a request for each entry, and for every 1,000 objects of a folder."""
    asked = [(share, output) for share in run.shares for output in share.outputs]
    with ThreadPoolExecutor(_AT_ONCE) as executor:
        return list(executor.map(lambda each: _measured(*each), asked))


def _measured(share: Share, output: Output) -> Output:
    api, repository, commit = share.place[0].api, share.repository, share.commit.id
    if output.objects is None:
        try:
            stat = api.stat(repository, commit, output.path)
            return replace(output, size=stat.size, checksum=output.checksum or stat.checksum)
        except ObjectNotFound:  # a folder whose objects the run could not count, or removed again
            pass
    below = list(api.list(repository, commit, f"{output.path}/"))
    if not below:
        return output
    return replace(output, size=sum(stat.size for stat in below), objects=len(below))
