"""Runs on lakeFS, by real sessions of Kedro in real git repositories on real servers."""
