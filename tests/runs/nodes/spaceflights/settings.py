"""Kedro's settings, all of them defaults."""
