"""Tables made without pandas are pyarrow's own."""

import subprocess
import sys

import pyarrow as pa
import pytest

from stages.core import arrow

SCHEMA = pa.schema(
    [
        pa.field("text", pa.string()),
        pa.field("long", pa.large_string()),
        pa.field("count", pa.int32()),
        pa.field("offset", pa.int64()),
        pa.field("score", pa.float32()),
        pa.field("exact", pa.float64()),
        pa.field("tags", pa.list_(pa.string())),
    ]
)
ROW = {"text": "a\0ß漢🙂", "long": "", "count": -3, "offset": 1 << 40, "score": 0.1, "exact": 0.1, "tags": ["x", None]}


@pytest.mark.parametrize("rows", [[], [ROW], [ROW, {}, ROW], [{}] * 9])
def test_a_table_is_as_pyarrow_makes_it(rows: list[dict[str, object]]) -> None:
    made = arrow.table(rows, SCHEMA)
    made.validate(full=True)
    assert made.equals(pa.Table.from_pylist(rows, schema=SCHEMA))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(OverflowError):
        arrow.column([1 << 31], pa.int32())
    with pytest.raises(UnicodeEncodeError):
        arrow.column(["\ud800"], pa.string())


def test_pandas_stays_out() -> None:
    lines = (
        "import sys, pyarrow as pa",
        "from stages.core import arrow",
        "kind = pa.schema([pa.field('text', pa.string()), pa.field('n', pa.uint64())])",
        "made = arrow.table([{'text': 'a', 'n': 1 << 63}], kind)",
        "assert arrow.numbers(made['n']).tolist() == [1 << 63]",
        "assert arrow.numbers(made.slice(1)['n']).tolist() == []",
        "sys.exit('pandas' in sys.modules)",
    )
    assert subprocess.run([sys.executable, "-c", "\n".join(lines)]).returncode == 0
