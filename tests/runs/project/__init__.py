"""The code of the Kedro project that these tests run."""
