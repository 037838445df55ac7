"""The steps of the pipeline: plain functions of tables, each the same for the same input."""

import pandas as pd
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

MEASUREMENTS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
"""What was measured on each bird, in millimetres and grams: the columns that the model sees."""

TYPES = {
    "species": "category",
    "island": "category",
    "sex": "category",
    # A gap makes pandas read a column of whole numbers as floats; without gaps they are whole again.
    "flipper_length_mm": "int64",
    "body_mass_g": "int64",
}

# Told apart by shape as well as by colour, for those who do not see the colours and for print.
MARKERS = {"Adelie": ("o", "#ff8c00"), "Chinstrap": ("^", "#8b3fc7"), "Gentoo": ("s", "#057076")}


def clean(raw: pd.DataFrame) -> pd.DataFrame:
    """Keep the birds that were measured, with tidy types.

    Args:
        raw: One row per bird (344), as the CSV file has them.

    Returns:
        The same columns, without the rows that lack a measurement (342 remain). `sex` may still be missing, since
        nothing here needs it.
    """
    return raw.dropna(subset=MEASUREMENTS).astype(TYPES).reset_index(drop=True)


def summarise(penguins: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Describe each species in figures.

    Args:
        penguins: Clean table, one row per bird.

    Returns:
        For each species in alphabetical order: `count` in birds, and the mean of each measurement as `mean_<column>`,
        in the unit that the column's name ends with, rounded to a tenth.
    """
    return {
        str(species): {
            "count": len(birds),
            **{f"mean_{column}": round(float(birds[column].mean()), 1) for column in MEASUREMENTS},
        }
        for species, birds in penguins.groupby("species", observed=True)
    }


def draw(penguins: pd.DataFrame) -> Figure:
    """Plot body mass against flipper length, one point per bird.

    Args:
        penguins: Clean table, one row per bird.

    Returns:
        A figure of 8 by 5 inches. It is made without pyplot, whose state threads would share.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for species, (marker, colour) in MARKERS.items():
        birds = penguins[penguins["species"] == species]
        axes.scatter(
            birds["flipper_length_mm"],
            birds["body_mass_g"] / 1000,
            s=42,
            marker=marker,
            color=colour,
            alpha=0.75,
            edgecolors="white",
            linewidths=0.6,
            label=f"{species} ({len(birds)})",
        )
    axes.set_title("Longer flippers, heavier penguins", loc="left", fontsize=14, fontweight="bold", pad=12)
    axes.set_xlabel("Flipper length (mm)")
    axes.set_ylabel("Body mass (kg)")
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#999999")
    axes.legend(title="Species (birds)", loc="upper left", frameon=False, alignment="left")
    return figure


def split(penguins: pd.DataFrame, test_size: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hold some birds back to test the model on.

    Args:
        penguins: Clean table, one row per bird.
        test_size: Share of the birds to hold back, between 0 and 1.
        seed: Seed of the shuffle; the same seed holds back the same birds.

    Returns:
        The birds to learn from and the birds to test on, each with the species in the proportions of the whole.
    """
    train, test = train_test_split(penguins, test_size=test_size, random_state=seed, stratify=penguins["species"])
    return train, test


def fit(train: pd.DataFrame) -> Pipeline:
    """Learn to tell the species from the measurements.

    Args:
        train: Birds to learn from, one per row.

    Returns:
        A fitted logistic regression on scaled measurements. It predicts species names from a table with the columns
        `MEASUREMENTS`, and holds nothing random: the solver makes no use of chance.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression())
    return model.fit(train[MEASUREMENTS], train["species"].astype(object))


def score(model: Pipeline, test: pd.DataFrame) -> dict[str, float]:
    """Measure how often the model is right on birds that it has not seen.

    Args:
        model: Model from `fit`.
        test: Birds to test on, one per row.

    Returns:
        `accuracy`, the share of right answers between 0 and 1, and `birds`, how many it was measured on.
    """
    accuracy = model.score(test[MEASUREMENTS], test["species"].astype(object))
    return {"accuracy": round(float(accuracy), 4), "birds": len(test)}
