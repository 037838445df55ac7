"""What each node of a pipeline depends on: recorded by a run, and compared before the next one."""
