"""ONNX graphs run by ONNX Runtime on one thread, and the proof that one answers as the model it came from. No model here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kenja_worker.modelserver.upgrade import Unconverted

if TYPE_CHECKING:
    import numpy.typing

    Array = numpy.typing.NDArray[Any]

_RELATIVE, _ABSOLUTE = 1e-6, 1e-6  # what an answer may differ by: some units in the last place of a 32-bit float
_SIZES = (1, 7)  # rows of the calls that the proof makes beside one with all of them
_ERRORS_ONLY = 3  # ONNX Runtime's log severity


def open_graph(graph: bytes) -> Callable[[Array], Array]:
    """A function from rows (any, features) to the graph's first output. Raises Unconverted."""
    try:
        import onnxruntime
    except ModuleNotFoundError as missing:
        raise Unconverted("this runtime has no ONNX Runtime") from missing
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    run, (rows,), output = session.run, session.get_inputs(), [session.get_outputs()[0].name]
    name = rows.name
    return lambda table: run(output, {name: table})[0]


def prove(candidate: Callable[[Array], Array], rows: Array, expected: Array) -> None:
    """Raises Unconverted unless the answers are the expected ones for single rows, for a few and for all of them."""
    import numpy

    for size in (*_SIZES, len(rows)):
        found = numpy.concatenate([candidate(rows[start : start + size]) for start in range(0, len(rows), size)])
        if found.shape != expected.shape:
            raise Unconverted(f"the conversion answers in the form {found.shape} instead of {expected.shape}")
        same = numpy.isclose(found, expected, _RELATIVE, _ABSOLUTE, equal_nan=True)
        if not same.all():
            worst = float(numpy.nanmax(numpy.abs(found - expected)))
            share = float((~same).mean())
            raise Unconverted(f"the conversion answers {share:.1%} of the proof's rows otherwise, by up to {worst:g}")
