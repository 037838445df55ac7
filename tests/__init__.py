"""The tests read like the promises of the package; they run against real servers."""
