"""Keeps pytest away: nothing here is a test or has examples, and every module may be slow."""

collect_ignore_glob = ["*.py"]
