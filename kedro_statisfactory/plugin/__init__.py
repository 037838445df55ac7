"""What Kedro finds through entry points: hooks and commands."""
