"""A small Kedro project: which penguin is it, by its bill, its flippers and its weight?

The repository's root runs it (`kedro run`), to show one catalog on disk, in S3 and in lakeFS. It knows nothing of
kedro-statisfactory: only `conf/` names it, as a project of your own would.

The data, `penguins.csv` beside this file, are the Palmer penguins: 344 adult birds of three species, measured on three
islands of the Palmer Archipelago, Antarctica, from 2007 to 2009.

    Horst AM, Hill AP, Gorman KB (2020). palmerpenguins: Palmer Archipelago (Antarctica) penguin data.
    doi:10.5281/zenodo.3960218. CC0. The file is the one in the PyPI package `palmerpenguins` 0.1.6.
"""
