"""A project of the shape of Kedro's spaceflights, which a test copies to where it runs."""
