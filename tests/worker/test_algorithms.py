"""What holds for every built-in algorithm: the checks that are shipped with the package, run on each one declared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kenja_worker.algorithms import UnknownAlgorithmError, find, names
from kenja_worker.algorithms.checks import CHECKS, Check
from kenja_worker.algorithms.errors import ClientError
from kenja_worker.algorithms.hyperparameters import (
    Hyperparameter,
    HyperparameterTable,
    boolean,
    choice,
    integer,
    number,
)


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_algorithm_passes_the_shipped_check(name: str, check: Check, tmp_path: Path) -> None:
    check(find(name), tmp_path)


def test_declarations_load_no_heavy_library() -> None:
    code = (
        "import sys; from kenja_worker.algorithms import find, names; [find(name) for name in names()]; "
        "heavy = {'numpy', 'xgboost', 'scipy', 'pandas', 'sklearn'} & set(sys.modules); sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["nothing", "", "errors", "train", "../xgboost", "xgboost.model", "os"])
def test_unknown_algorithm_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(UnknownAlgorithmError, match="xgboost"):
        find(name)


TABLE = HyperparameterTable(
    (
        Hyperparameter("depth", integer(0, 9), ("levels",), required=True),
        Hyperparameter("rate", number(above=0, maximum=1)),
        Hyperparameter("kind", choice("a", "b")),
        Hyperparameter("fast", boolean),
        Hyperparameter("folds", integer(), later="comes with a later version", harmless=("0",)),
        Hyperparameter("old", integer(), gone="nobody needs it"),
    ),
    check=lambda values: "b needs a rate" if values.get("kind") == "b" and "rate" not in values else None,
)


def test_values_are_typed_and_aliases_answer_to_the_main_name() -> None:
    parsed = TABLE.parse({"levels": "3", "rate": "0.5", "kind": '"a"', "fast": "True", "folds": "0"})
    assert parsed.values == {"depth": 3, "rate": 0.5, "kind": "a", "fast": True}
    assert parsed.notes == ()


def test_a_value_that_the_library_lost_becomes_a_note() -> None:
    parsed = TABLE.parse({"depth": "1", "old": "5"})
    assert parsed.values == {"depth": 1}
    assert parsed.notes == ("Hyperparameter 'old' has no effect: nobody needs it.",)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "Missing required hyperparameter: depth"),
        ({"depth": "1", "dept": "2"}, "'dept'.*Did you mean 'depth'"),
        ({"depth": "1", "levels": "1"}, "'depth' and 'levels'"),
        ({"depth": "ten"}, "'depth' has the value 'ten'; allowed: an integer from 0 to 9"),
        ({"depth": "10"}, "'10'; allowed: an integer from 0 to 9"),
        ({"depth": "1.5"}, "an integer"),
        ({"depth": ""}, "an integer"),
        ({"depth": "1", "rate": "0"}, "a number.*of at most 1, greater than 0"),
        ({"depth": "1", "rate": "nan"}, "a number"),
        ({"depth": "1", "rate": "1e400"}, "a number"),
        ({"depth": "1", "kind": "c"}, "one of a, b"),
        ({"depth": "1", "fast": "yes"}, "true or false"),
        ({"depth": "1", "folds": "5"}, "'folds' is not supported yet: comes with a later version"),
        ({"depth": "1", "old": "x"}, "'old' has the value 'x'"),
        ({"depth": "1", "kind": "b"}, "b needs a rate"),
    ],
)
def test_bad_value_is_refused_by_name(given: dict[str, str], named: str) -> None:
    with pytest.raises(ClientError, match=named) as refused:
        TABLE.parse(given)
    assert str(refused.value).startswith("ClientError: ")
