"""The commands about runs of the past and the cache: each module has one or two; what they share is in ``output``.

``kedro`` imports the command line of each plugin before it does anything, be it a run: these are imported when asked.
"""

from __future__ import annotations

#: Where each is: a module of ``kedro_statisfactory.plugin``, and what the command is called there.
COMMANDS = {
    "cache": "commands.caching:cache",
    "diff": "commands.comparing:diff",
    "doctor": "commands.doctor:doctor",
    "merge": "commands.changing:merge",
    "migrate": "migrate.command:migrate",
    "prune": "commands.pruning:prune",
    "revert": "commands.changing:revert",
    "runs": "commands.listing:runs",
    "show": "commands.listing:show_run",
    "status": "commands.standing:status",
    "tag": "commands.standing:tag",
}
