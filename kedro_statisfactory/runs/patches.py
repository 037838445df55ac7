"""The code of a run that is in no commit of git yet: it is kept with the data, so that it can be had back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.errors import StatisfactoryError
from kedro_statisfactory.project.patch import read_patch
from kedro_statisfactory.runs.redaction import has_secret, without_tokens
from kedro_statisfactory.runs.target import LOGGER, Target
from kedro_statisfactory.runs.use import Use

# Characters of a secret that is in a text by no chance.
_LONG = 12


@dataclass(frozen=True)
class Uncommitted:
    """What is in no commit of git.

    Attributes:
        content: A patch; empty: there is none.
        facts: What the commits of the run say about it.
    """

    content: bytes = b""
    facts: dict[str, str] = field(default_factory=dict)

    def store(self, target: Target) -> None:
        """Write the patch to where the run writes."""
        if self.content:
            branch = target.run_branch or target.data_branch
            records.store_once(target.api, target.repository, branch, self.facts["git_patch"], self.content)


def read_uncommitted(project: Path, uses: Iterable[Use]) -> Uncommitted:
    """Read the changes of the code, without the files that may have secrets.

    Args:
        project: Root folder of the project.
        uses: The entries of the pipeline, whose secrets are looked for.
    """
    secrets = {secret for use in uses if use.backend for secret in use.backend.secrets()}
    long = [secret for secret in secrets if len(secret.reveal()) >= _LONG]

    def tells_secret(content: bytes) -> bool:
        text = content.replace(b"\0", b"").decode("utf-8", "replace")  # a text in UTF-16 has a NUL beside each letter
        return has_secret(text) or any(secret.reveal() in text for secret in long)

    try:
        patch = read_patch(project, tells_secret)
    except (StatisfactoryError, OSError) as error:
        LOGGER.warning("The uncommitted changes of the code are not kept with the run: %s", error)
        return Uncommitted()
    facts: dict[str, str] = {}
    if patch.content:
        facts["git_patch"] = records.path_of(patch.content, "patch")
    if patch.left_out:
        facts["git_patch_without"] = ", ".join(map(without_tokens, patch.left_out))
    return Uncommitted(patch.content, facts)
