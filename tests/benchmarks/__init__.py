"""Speed and memory beside those of others: ``python -m tests.benchmarks``, run by hand."""
