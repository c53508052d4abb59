"""Tables of .parquet files, held against the memory before they expand.

Pages are compressed, rows repeat a value, and values repeat a text that is stored once: a few bytes
may hold any number of each.
"""

from collections.abc import Iterator, Sequence
from typing import IO, Any

from .._runtime.memory import forecast_memory
from .opening import malformed

# A cell as an object of Python.
_CELL_BYTES = 80


def whole_table(path: str, file: IO[bytes], columns: Sequence[str] | None = None) -> Any:
    """The pyarrow table of a file, or of some of its columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = [*batches_of(path, file, columns, keeps=True)]
    return pa.Table.from_batches(found) if found else pq.read_table(file, columns=columns)


def batches_of(
    path: str, file: IO[bytes], columns: Sequence[str] | None = None, *, keeps: bool = False
) -> Iterator[Any]:
    """The pyarrow record batches of a file or of some of its columns, one in memory at a time, or
    all with `keeps`."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    stored = pq.ParquetFile(file)
    for field in stored.schema_arrow:
        if columns is not None and field.name not in columns:
            continue
        if pa.types.is_nested(field.type) or pa.types.is_fixed_size_binary(field.type):
            problem = f"the column {field.name} holds {field.type}"
            raise malformed(path, problem, "store names and numbers, or leave it out")
    facts = stored.metadata
    n_columns = facts.num_columns if columns is None else len(columns)
    groups = [_group_bytes(facts.row_group(k), columns) for k in range(facts.num_row_groups)]
    purpose = f"{path}: its table of {facts.num_rows:,} rows"
    pages = sum(groups) if keeps else max(groups, default=0)
    cells = _CELL_BYTES * facts.num_rows * n_columns if keeps else 0
    forecast_memory(pages + cells, purpose)
    # a text that repeats is kept once, where the file does so
    texts = [x.name for x in stored.schema if x.physical_type == "BYTE_ARRAY"]
    size = 0
    for batch in pq.ParquetFile(file, read_dictionary=texts).iter_batches(columns=columns):
        size = size if keeps else 0
        size += _CELL_BYTES * batch.num_rows * batch.num_columns
        plain = batch.schema
        for at, field in enumerate(batch.schema):
            if pa.types.is_dictionary(field.type):
                is_text = pa.types.is_string(field.type.value_type)  # or bytes: must be UTF-8
                kind = field.type.value_type if is_text else pa.large_string()
                plain = plain.set(at, pa.field(field.name, kind))
                column = batch.column(at)
                lengths = pc.binary_length(column.dictionary.cast(pa.large_string()))
                size += 2 * (pc.sum(lengths.take(column.indices)).as_py() or 0)
        forecast_memory(size, purpose)
        yield pa.RecordBatch.from_arrays(
            [column.cast(field.type) for column, field in zip(batch.columns, plain, strict=True)],
            schema=plain,
        )


def _group_bytes(group: Any, columns: Sequence[str] | None) -> int:
    """The bytes of a row group, or of some of its columns, decompressed."""
    if columns is None:
        return int(group.total_byte_size)
    parts = [group.column(k) for k in range(group.num_columns)]
    return sum(part.total_uncompressed_size for part in parts if part.path_in_schema in columns)
