"""The small problem on which XGBoost must show that it learns: a yes that depends on two of three columns."""

from __future__ import annotations

from kenja_worker.algorithms.algorithm import Example

# A grid over three columns; the label is 1 where the first plus the second exceeds 8. The third says nothing.
_CSV = "\n".join(
    f"{int(first + second > 8)},{first},{second},{third}"
    for first in range(9)
    for second in range(9)
    for third in range(3)
).encode()

EXAMPLE = Example(
    hyperparameters={
        "num_round": "20",
        "objective": "binary:logistic",
        "subsample": "0.7",
        "seed": "7",
    },
    content_type="text/csv",
    channels={"train": _CSV, "validation": _CSV},
    rows=((0.0, 0.0, 1.0), (8.0, 8.0, 1.0), (4.0, 7.0, 0.0)),
)
