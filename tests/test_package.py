"""What an import of the package costs, and what it offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import kedro_statisfactory
from kedro_statisfactory.errors import Errors, PrefixTaken, StatisfactoryError

HEAVY = ("boto3", "botocore", "git", "lakefs_client", "pandas", "pytest", "s3transfer", "urllib3")


def test_an_import_brings_no_sdk() -> None:
    code = "import sys, kedro_statisfactory, kedro_statisfactory.plugin.hooks; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not set(HEAVY) & set(loaded)
    assert "kedro_statisfactory.datasets.artifact" not in loaded


def test_the_negative_control_would_see_one() -> None:
    code = "import sys, kedro_statisfactory, boto3; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert set(HEAVY) & set(loaded)


def test_everything_that_is_offered_is_there() -> None:
    for name in kedro_statisfactory.__all__:
        assert getattr(kedro_statisfactory, name).__name__ == name
    with pytest.raises(AttributeError, match="Nothing"):
        _ = kedro_statisfactory.Nothing


def test_every_error_has_a_code_of_its_own_that_is_printed() -> None:
    def below(kind: type[StatisfactoryError]) -> set[type[StatisfactoryError]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    kinds = {kind for kind in below(StatisfactoryError) if kind.__module__.startswith("kedro_statisfactory")}
    kinds -= {StatisfactoryError}
    kinds = {kind for kind in kinds if kind.code not in {getattr(base, "code", None) for base in kind.__bases__}}
    assert len({kind.code for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert getattr(Errors, kind.code) is kind
        assert str(kind("the text")) == f"[{kind.code}] the text"
    assert Errors.E0201 is PrefixTaken


def test_an_error_without_a_code_has_that_of_its_base() -> None:
    class Special(PrefixTaken):
        pass

    assert Special.code == "E0201"
    assert Errors.E0201 is PrefixTaken
