"""From what companies, shuttles and reviews tell to one table."""

import pandas as pd


def _is_true(column: "pd.Series[str]") -> "pd.Series[bool]":
    return column == "t"


def preprocess_companies(companies: pd.DataFrame) -> pd.DataFrame:
    """Ratings as numbers."""
    rating = companies["company_rating"].str.rstrip("%").astype(float) / 100
    return companies.assign(iata_approved=_is_true(companies["iata_approved"]), company_rating=rating)


def preprocess_shuttles(shuttles: pd.DataFrame) -> pd.DataFrame:
    """Prices as numbers."""
    price = shuttles["price"].str.lstrip("$").astype(float)
    return shuttles.assign(d_check_complete=_is_true(shuttles["d_check_complete"]), price=price)


def create_model_input_table(shuttles: pd.DataFrame, companies: pd.DataFrame, reviews: pd.DataFrame) -> pd.DataFrame:
    """One row for each shuttle that was rated."""
    rated = shuttles.merge(reviews, left_on="id", right_on="shuttle_id").drop("id", axis=1)
    return rated.merge(companies, left_on="company_id", right_on="id").dropna()
