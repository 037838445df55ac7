"""Where we are: the project, its settings, what git and CI services say of it, and the names of data branches."""

from __future__ import annotations

from kedro_statisfactory.project.project import AT, Pin, Project, announce, announced_project, current_project

__all__ = ["AT", "Pin", "Project", "announce", "announced_project", "current_project"]
