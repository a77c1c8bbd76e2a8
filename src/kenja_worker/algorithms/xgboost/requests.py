"""Inference requests of the content types that AWS's XGBoost image takes beyond tables: libsvm and RecordIO-protobuf. No model here."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from kenja_worker.algorithms.errors import ClientError
from kenja_worker.modelserver import tabular
from kenja_worker.modelserver.handler import Invocation, Refused

if TYPE_CHECKING:
    from kenja_worker.algorithms.algorithm import Array

LIBSVM = ("text/libsvm", "text/x-libsvm")
RECORDIO = "application/x-recordio-protobuf"


def decode(invocation: Invocation, width: int) -> Array:
    """(rows, width) float32, NaN is missing. Raises Refused."""
    try:
        if invocation.content_type in LIBSVM:
            rows = _libsvm(invocation.body, width)
        elif invocation.content_type == RECORDIO:
            rows = _recordio(invocation.body, width)
        else:
            rows = tabular.decode(invocation)
    except ClientError as error:
        raise Refused(400, str(error.args[0])) from error
    if rows.shape[1] != width:
        raise Refused(400, f"Each row has {rows.shape[1]} features; the model was trained with {width}.")
    return rows


def _libsvm(body: bytes, width: int) -> Array:
    from kenja_worker.algorithms.channels import libsvm

    lines = [line for line in body.split(b"\n") if line.strip()]
    if not lines:
        raise Refused(400, "The request body is empty; at least one row is needed.")
    # Labels may be left out (AWS's guide, Input/Output interface for the XGBoost algorithm); the reader wants one.
    labelled = b"\n".join(b"0 " + line if b":" in line.split(None, 1)[0] else line for line in lines)
    part = libsvm.parse(labelled, "request", 1)
    return _dense(part.values, part.indices, part.counts, width)


def _recordio(body: bytes, width: int) -> Array:
    from kenja_worker.algorithms.channels import protobuf
    from kenja_worker.algorithms.channels.files import Source

    features: Any = protobuf.read([Source(io.BytesIO(body), "request")], labelled=False).features
    if not hasattr(features, "indptr"):
        return features  # type: ignore[no-any-return]
    import numpy

    return _dense(features.data, features.indices, numpy.diff(features.indptr), width)


def _dense(values: Array, indices: Array, counts: Array, width: int) -> Array:
    """What is absent is missing. Raises Refused for an index beyond the model's features."""
    import numpy

    if indices.size and int(indices.max()) >= width:
        raise Refused(
            400, f"A row has the index {int(indices.max())}; the model was trained with {width} features, from 0 on."
        )
    rows = numpy.full((len(counts), width), numpy.nan, dtype=numpy.float32)
    rows[numpy.repeat(numpy.arange(len(counts)), counts), indices] = values
    return rows
