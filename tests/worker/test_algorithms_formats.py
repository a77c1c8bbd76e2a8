"""Training data as libsvm, Parquet and RecordIO-protobuf: what is read equals what other libraries read; broken files are named."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest
import scipy.sparse
import sklearn.datasets
import xgboost

from kenja_worker.algorithms import ClientError, channels
from kenja_worker.algorithms.algorithm import Channel
from kenja_worker.algorithms.channels import libsvm, record, recordio

LIBSVM, PARQUET, RECORDIO = "text/libsvm", "application/x-parquet", "application/x-recordio-protobuf"
RANDOM = numpy.random.default_rng(3)
DENSE = RANDOM.normal(size=(700, 5)).astype(numpy.float32)
LABELS = (DENSE[:, 0] > 0).astype(numpy.float32)
SPARSE = scipy.sparse.random(300, 200, 0.04, format="csr", random_state=1, dtype=numpy.float32)


def channel(folder: Path, kind: str, *files: bytes) -> Channel:
    place = folder / "train"
    place.mkdir(parents=True)
    for number, data in enumerate(files):
        (place / f"part-{number}").write_bytes(data)
    return Channel("train", place, kind)


def written(rows: Any, **options: Any) -> bytes:
    made = io.BytesIO()
    sklearn.datasets.dump_svmlight_file(rows, LABELS[: rows.shape[0]], made, **options)
    return made.getvalue()


# -- libsvm


@pytest.mark.parametrize("options", [{}, {"query_id": numpy.arange(300) // 7}, {"zero_based": False}])
def test_libsvm_equals_scikit_learn_and_xgboost(tmp_path: Path, options: dict[str, Any]) -> None:
    data = written(SPARSE, **options)
    read = channels.read(channel(tmp_path, LIBSVM, data))
    theirs, labels = sklearn.datasets.load_svmlight_file(io.BytesIO(data), zero_based=True)
    assert read.features.shape == theirs.shape
    assert abs(read.features - theirs).max() < 1e-6
    assert numpy.array_equal(read.labels, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library will lose its text reader; it says so once a process
        library = xgboost.DMatrix(f"{tmp_path}/train/part-0?format=libsvm")
    ours = xgboost.DMatrix(read.features, read.labels, qid=read.groups)
    assert (library.num_row(), library.num_col()) == (ours.num_row(), ours.num_col())
    assert (library.get_data() != ours.get_data()).nnz == 0
    assert numpy.array_equal(library.get_uint_info("group_ptr"), ours.get_uint_info("group_ptr"))


ODD = b"1:0.5 0:1 3:2\n-1:2 1:3 # a remark\n\n+1:1\n0:0 2:1e-3 10:nan\n"


def test_libsvm_weights_comments_and_empty_rows(tmp_path: Path) -> None:
    read = channels.read(channel(tmp_path, LIBSVM, ODD, b"1:3 7:1"))
    assert read.labels.tolist() == [1, -1, 1, 0, 1]
    assert read.weights is not None
    assert read.weights.tolist() == [0.5, 2, 1, 0, 3]
    assert read.features.shape == (5, 11)
    assert read.features[0].toarray()[0, [0, 3]].tolist() == [1, 2]


@pytest.mark.parametrize(
    "data",
    [written(SPARSE), written(SPARSE, query_id=numpy.arange(300) // 7), b"1:0.5 0:1 3:2\n0:2 1:3\n", b"1 1:2\n0\n1 3:1",
     b"1 0:1 \r\n0 1:1 \r\n"],
)  # fmt: skip
def test_the_quick_way_of_libsvm_reads_what_the_careful_way_reads(data: bytes) -> None:
    quick, careful = libsvm._quick(data), libsvm._careful(data, "x", 1)
    assert quick is not None
    for name in ("labels", "counts", "indices", "values", "weights", "queries"):
        first, second = getattr(quick, name), getattr(careful, name)
        assert (first is None) == (second is None)
        assert first is None or numpy.array_equal(first, second), name


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"1 1:1\nx 1:1\n", "line 2: 'x' is not a number"),
        (b"1 1:1\n1 a:1\n", "line 2: 'a' is no index"),
        (b"1 1:1\n1 -1:1\n", "line 2: '-1' is no index"),
        (b"1 1:1\n1 2\n", "line 2: '2' is not index:value"),
        (b"1 1:1\n1 2:x\n", "line 2: 'x' is not a number"),
        (b"1 1:1\n1 2:1:3\n", "line 2: '1:3' is not a number"),
        (b"1 1:1\n1 2:inf\n", "line 2: 'inf' is not a finite"),
        (b"1 1:1\n1 2:1e39\n", "line 2: '1e39' is not a finite"),
        (b"1 1:1\nnan 2:1\n", "line 2: 'nan' is not a finite"),
        (b"1 1:1\n1 2:1 2:3\n", "line 2: the index 2 stands twice"),
        (b"1 1:1\n1:2 2:1\n", "line 2: some rows have a weight"),
        (b"1 qid:1 1:1\n1 2:1\n", "line 2: some rows have a query"),
        (b"1:-1 1:1\n", "line 1: the weight -1 is negative"),
        (b"1 qid:x 1:1\n", "line 1: 'x' is no query"),
        (b"1 99999999999:1\n", "line 1: '99999999999' is no index"),
        (b"", "is empty"),
    ],
)
def test_broken_libsvm_is_refused_with_file_and_line(tmp_path: Path, data: bytes, told: str) -> None:
    with pytest.raises(ClientError, match=f"channel 'train', file part-0.*{told}"):
        channels.read(channel(tmp_path, LIBSVM, data))


def test_a_sparse_validation_channel_may_have_another_width(tmp_path: Path) -> None:
    from kenja_worker.algorithms.algorithm import Job
    from tests.worker.boosting import ALGORITHM

    pair = {"train": b"1 0:1 2:3\n0 1:1\n" * 20, "validation": b"1 0:1\n0 6:2\n"}
    found = {name: channel(tmp_path / name, LIBSVM, data) for name, data in pair.items()}
    values = ALGORITHM.hyperparameters.parse({"num_round": "2"}).values
    assert ALGORITHM.fit(values, Job(channels=found, say=lambda line: None)).num_features() == 7


# -- Parquet


def parquet(frame: pandas.DataFrame, **options: Any) -> bytes:
    made = io.BytesIO()
    frame.to_parquet(made, **options)
    return made.getvalue()


def test_parquet_columns_of_every_number_are_read_and_an_index_is_none(tmp_path: Path) -> None:
    frame = pandas.DataFrame(
        {
            "label": LABELS.astype("float64"),
            "whole": RANDOM.integers(-9, 9, 700),
            "short": numpy.arange(700, dtype="uint8"),
            "yes": LABELS > 0,
            "gaps": pandas.array([None if number % 3 else number for number in range(700)], dtype="Int64"),
            "real": DENSE[:, 1],
        },
        index=pandas.Index([f"row{number}" for number in range(700)], name="names"),
    )
    read = channels.read(channel(tmp_path, PARQUET, parquet(frame[:300]), parquet(frame[300:], compression="gzip")))
    expected = frame.drop(columns="label").astype({"gaps": "Float64"}).to_numpy(dtype="float32", na_value=numpy.nan)
    assert numpy.array_equal(read.features, expected, equal_nan=True)
    assert numpy.array_equal(read.labels, LABELS)


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        ({"label": [1, 0], "name": ["a", "b"]}, "column 'name' holds .*string"),
        ({"label": [1.0, None], "a": [1, 2]}, "row 2: the label, column 'label', is missing"),
        ({"label": [1, 0], "a": [1.0, numpy.inf]}, "row 2: column 'a' is infinite"),
        ({"label": [1, 0]}, "has 1 column"),
    ],
)
def test_parquet_that_is_no_table_of_numbers_is_refused(tmp_path: Path, frame: dict[str, Any], told: str) -> None:
    with pytest.raises(ClientError, match=f"channel 'train', file part-0.*{told}"):
        channels.read(channel(tmp_path, PARQUET, parquet(pandas.DataFrame(frame))))


def test_broken_parquet_is_refused(tmp_path: Path) -> None:
    good = parquet(pandas.DataFrame(DENSE, columns=list("abcde")))
    for number, data in enumerate((b"1,2,3\n", good[:-20])):
        with pytest.raises(ClientError, match="file part-0 is not a Parquet file"):
            channels.read(channel(tmp_path / str(number), PARQUET, data))
    other = pyarrow.table({"a": [1.0], "b": [2.0]})
    made = io.BytesIO()
    pyarrow.parquet.write_table(other, made)
    with pytest.raises(ClientError, match=r"part-1 has 2 columns, the channel's first file has 5"):
        channels.read(channel(tmp_path / "two", PARQUET, good, made.getvalue()))


# -- RecordIO-protobuf

# What the sagemaker SDK 2.257.7 writes for the rows [[1.5, -2], [0, 3]] (64-bit integers: [[1, -2], [0, 3]]) with the
# labels 1 and 0 by write_numpy_to_dense_tensor, and by its Record class for the sparse rows [0, 0, 7] and [5, 0, 0].
SDK = {
    "float32": "0a23d7ce2c0000000a160a0676616c756573120c120a0a080000c03f000000c012120a0676616c756573120812060a040000803f0a23d7ce2c0000000a160a0676616c756573120c120a0a08000000000000404012120a0676616c756573120812060a0400000000",
    "float64": "0a23d7ce380000000a1e0a0676616c75657312141a120a10000000000000f83f00000000000000c012160a0676616c756573120c1a0a0a08000000000000f03f0a23d7ce380000000a1e0a0676616c75657312141a120a100000000000000000000000000000084012160a0676616c756573120c1a0a0a080000000000000000",
    "int64": "0a23d7ce2c0000000a190a0676616c756573120f3a0d0a0b01feffffffffffffffff01120f0a0676616c75657312053a030a01010a23d7ce230000000a100a0676616c75657312063a040a020003120f0a0676616c75657312053a030a010000",
    "sparse": "0a23d7ce2e0000000a180a0676616c756573120e120c0a040000e0401201021a010312120a0676616c756573120812060a040000803f00000a23d7ce2e0000000a180a0676616c756573120e120c0a040000a0401201001a010312120a0676616c756573120812060a04000000000000",
}


@pytest.mark.parametrize("kind", ["float32", "float64", "int64"])
def test_records_are_the_bytes_of_the_sdk(tmp_path: Path, kind: str) -> None:
    rows = numpy.array([[1.5, -2], [0, 3]]).astype(kind)
    ours = b"".join(map(recordio.frame, record.dense(rows, numpy.array([1, 0]).astype(kind))))
    assert ours.hex() == SDK[kind]
    read = channels.read(channel(tmp_path, RECORDIO, bytes.fromhex(SDK[kind])))
    assert numpy.array_equal(read.features, rows)
    assert read.labels.tolist() == [1, 0]


def test_sparse_records_are_the_bytes_of_the_sdk(tmp_path: Path) -> None:
    rows = scipy.sparse.csr_matrix(numpy.array([[0, 0, 7], [5, 0, 0]], dtype=numpy.float32))
    labels = numpy.array([1, 0], dtype=numpy.float32)
    assert b"".join(map(recordio.frame, record.sparse(rows, labels))).hex() == SDK["sparse"]
    read = channels.read(channel(tmp_path, RECORDIO, bytes.fromhex(SDK["sparse"])))
    assert (read.features != rows).nnz == 0


def dense(kind: str, rows: numpy.ndarray = DENSE) -> bytes:
    return b"".join(map(recordio.frame, record.dense(rows.astype(kind), LABELS[: len(rows)].astype(kind))))


@pytest.mark.parametrize("kind", ["float32", "float64", "int64"])
def test_dense_records_are_read(tmp_path: Path, kind: str) -> None:
    rows = (DENSE * 10).astype(kind)
    read = channels.read(channel(tmp_path, RECORDIO, dense(kind, rows[:400]), dense(kind, rows[400:])))
    assert numpy.array_equal(read.features, rows.astype("float32"))
    assert read.features.dtype == numpy.float32


def test_sparse_records_are_read(tmp_path: Path) -> None:
    data = b"".join(map(recordio.frame, record.sparse(SPARSE, LABELS)))
    read = channels.read(channel(tmp_path, RECORDIO, data))
    assert read.features.shape == SPARSE.shape
    assert (read.features != SPARSE).nnz == 0
    assert numpy.array_equal(read.labels, LABELS[:300])


def test_records_of_unlike_layout_are_one_table(tmp_path: Path) -> None:
    """Alike ones are read together; a label of another type or a record with an id must not disturb it."""
    pieces = list(record.dense(DENSE[:100], LABELS[:100]))
    pieces[40] = pieces[40] + b"\x1a\x02id"  # field 3, uid
    pieces[60] = record.encode(
        {"values": record.Tensor(DENSE[60])}, {"values": record.Tensor(LABELS[60:61].astype("float64"))}
    )
    read = channels.read(channel(tmp_path, RECORDIO, b"".join(map(recordio.frame, pieces))))
    assert numpy.array_equal(read.features, DENSE[:100])
    assert numpy.array_equal(read.labels, LABELS[:100])


def test_a_record_in_parts_is_joined() -> None:
    magic = struct.pack("<I", recordio.MAGIC)
    parts = b"".join(
        struct.pack("<II", recordio.MAGIC, kind << 29 | 4) + data for kind, data in ((1, b"abcd"), (3, b"efgh"))
    )
    assert list(recordio.records(io.BytesIO(parts), "x")) == [b"abcd" + magic + b"efgh"]
    assert recordio.extent(parts, 0, "x") == len(parts)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"1,2,3\n0,1,2\n", "is not RecordIO"),
        (dense("float32")[:-3], "ends within a record"),
        (b"", "is empty"),
        (recordio.frame(b"\xff\xff"), "record 1: "),
        (recordio.frame(bytes.fromhex("0a0f0a0676616c756573120512030a0100")), "record 1: a number is cut off"),
        (
            recordio.frame(record.encode({}, {"values": record.Tensor(LABELS[:1])})),
            "record 1 has no features named 'values'",
        ),
        (recordio.frame(record.encode({"values": record.Tensor(DENSE[0])}, {})), "record 1 has no label"),
        (
            dense("float32", DENSE[:2]) + dense("float32", DENSE[:1, :3]),
            "record 3 has 3 values, the records before it have 5",
        ),
        (
            dense("float32", DENSE[:2]) + b"".join(map(recordio.frame, record.sparse(SPARSE[:1], LABELS))),
            "record 3 is sparse",
        ),
        (dense("float32", numpy.full((1, 3), numpy.inf)), "record 1: a value is infinite"),
        (dense("float64", numpy.full((1, 3), 1e300)), "record 1: a value is infinite or too large"),
    ],
)
def test_broken_records_are_refused_with_file_and_number(tmp_path: Path, data: bytes, told: str) -> None:
    with pytest.raises(ClientError, match=f"channel 'train', file part-0.*{told}"):
        channels.read(channel(tmp_path, RECORDIO, data))


@pytest.mark.parametrize("kind", [LIBSVM, PARQUET, RECORDIO, "text/csv"])
def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path: Path, kind: str) -> None:
    small = scipy.sparse.random(9, 5, 0.5, format="csr", random_state=1, dtype=numpy.float32)
    good = {
        LIBSVM: written(small),
        PARQUET: parquet(pandas.DataFrame(DENSE[:9], columns=list("abcde"))),
        RECORDIO: dense("float32", DENSE[:5]) + b"".join(map(recordio.frame, record.sparse(small, LABELS))),
        "text/csv": b"1,2.5,3\n0,,5\n1,6,7e3\n",
    }[kind]
    one = channel(tmp_path, kind, good)
    random = numpy.random.default_rng(5)
    refused = 0
    for _ in range(300):
        data = bytearray(good)
        for _ in range(int(random.integers(1, 4))):
            place = int(random.integers(len(data)))
            match int(random.integers(3)):
                case 0:
                    data[place] = int(random.integers(256))
                case 1:
                    del data[place : place + int(random.integers(1, 9))]
                case _:
                    data[place:place] = random.bytes(int(random.integers(1, 5)))
            data = data or bytearray(b"\0")
        (one.folder / "part-0").write_bytes(data)
        try:
            channels.read(one)
        except ClientError:
            refused += 1
    assert refused > 100
