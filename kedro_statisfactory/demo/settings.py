"""Settings of the demo project, read by Kedro."""

from omegaconf.resolvers import oc

CONFIG_LOADER_ARGS = {
    # Kedro's own two defaults, which this setting replaces as a whole.
    "base_env": "base",
    "default_run_env": "local",
    # By itself Kedro reads environment variables in credentials only; conf/s3 and conf/lakefs name their root by one.
    "custom_resolvers": {"oc.env": oc.env},
}
