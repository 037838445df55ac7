"""From the table to a model and its score."""

from typing import Any

import pandas as pd
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split


def split_data(data: pd.DataFrame, options: dict[str, Any]) -> Any:
    """One part to learn from, one to test."""
    x, y = data[options["features"]], data["price"]
    return train_test_split(x, y, test_size=options["test_size"], random_state=options["random_state"])


def train_model(x_train: pd.DataFrame, y_train: "pd.Series[float]") -> LinearRegression:
    """The price, as far as it follows the features."""
    return LinearRegression().fit(x_train, y_train)


def evaluate_model(regressor: Any, x_test: pd.DataFrame, y_test: "pd.Series[float]") -> dict[str, float]:
    """How far it is off."""
    return {"mean_error": float((regressor.predict(x_test) - y_test).abs().mean())}
