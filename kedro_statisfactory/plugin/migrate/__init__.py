"""Moving the entries of a catalog to :class:`~kedro_statisfactory.ArtifactDataset`, and to where they shall live."""
