"""The defaults of AWS's XGBoost container in script mode: CSV and libsvm to a DMatrix, `Booster.predict`, JSON, CSV or NPY out."""

from __future__ import annotations

from typing import Any

from kenja_worker.modelserver import contents
from kenja_worker.modelserver.frameworks import Framework, no_model_fn

LIBSVM = ("text/libsvm", "text/x-libsvm")
DELIMITERS = ",\t; "  # of a CSV row, in the order in which they are looked for


class XGBoost:
    """See `Framework`."""

    def model_fn(self, model_dir: str) -> Any:
        no_model_fn()

    def input_fn(self, body: str | bytes, content_type: str) -> Any:
        """A DMatrix."""
        kind = contents.media_type(content_type)
        if kind == contents.CSV:
            return csv_matrix(body)
        if kind in LIBSVM:
            return libsvm_matrix(body)
        raise contents.UnsupportedFormat(content_type, (contents.CSV, *LIBSVM))

    def predict_fn(self, data: Any, model: Any) -> Any:
        return model.predict(data, validate_features=False)

    def output_fn(self, prediction: Any, accept: str) -> str | bytes:
        return contents.encode(prediction, accept)


def csv_matrix(body: str | bytes) -> Any:
    """Rows of numbers; an empty field is a missing value. Raises ValueError."""
    import numpy
    import xgboost

    text = contents.as_text(body).strip("\r\n")
    first = text.partition("\n")[0]
    delimiter = next((sign for sign in DELIMITERS if sign in first), ",")
    rows = [[field.strip() or "nan" for field in line.strip("\r").split(delimiter)] for line in text.split("\n")]
    return xgboost.DMatrix(numpy.array(rows, dtype=numpy.float32))


def libsvm_matrix(body: str | bytes) -> Any:
    """Rows of `label index:value …`, the label of which is not used; indices count from 0, absent ones are missing. Raises ValueError."""
    import numpy
    import scipy.sparse
    import xgboost

    values: list[float] = []
    columns: list[int] = []
    ends = [0]
    for line in contents.as_text(body).splitlines():
        words = line.partition("#")[0].split()
        if not words:
            continue
        for word in words if ":" in words[0] else words[1:]:
            column, _, value = word.partition(":")
            if column == "qid":
                continue
            columns.append(int(column))
            values.append(float(value))
        ends.append(len(values))
    if not values or min(columns) < 0:
        raise ValueError("a libsvm body has rows of `index:value` with indices from 0 on")
    shape = (len(ends) - 1, max(columns) + 1)
    table = scipy.sparse.csr_matrix((numpy.array(values, dtype=numpy.float32), columns, ends), shape=shape)
    return xgboost.DMatrix(table)


FRAMEWORK: Framework = XGBoost()
