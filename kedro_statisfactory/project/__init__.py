"""Where we are: the project, its settings, what git and CI services say of it, and the names of data branches."""

from __future__ import annotations

import sys

from kedro_statisfactory.project import git, settings
from kedro_statisfactory.project.project import AT, RUN_ID, Pin, Project, announce, announced_project, current_project

__all__ = ["AT", "RUN_ID", "Pin", "Project", "announce", "announced_project", "current_project"]

# Entries that were pickled before these modules stood in this folder name classes of their project by the old place.
# To load an entry imports this package first.
sys.modules["kedro_statisfactory.git"] = git
sys.modules["kedro_statisfactory.settings"] = settings
