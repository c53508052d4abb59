"""The scalars of an event file of TensorBoard.

The file is read record by record here, not by the package's own loader: that one takes a damaged
record for the end of the file and drops all later steps without a word.
"""

import struct
from collections.abc import Iterator
from typing import IO, Any

from .._runtime.memory import forecast_memory
from ..io.opening import damage_named, file_size, malformed, opened

_DAMAGED = "the file is damaged: make or fetch it again"
# A record: the length of its data, a checksum of that, the data, a checksum of the data.
_LENGTH, _CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")
_HEAD = _LENGTH.size + _CHECKSUM.size
# Of memory for a scalar; and how many are read between two looks at the memory.
_SCALAR_BYTES, _SCALARS_A_FORECAST = 200, 1 << 16


def read_events(path: str) -> tuple[list[tuple[int, dict[str, Any]]], list[str]]:
    """((step, tag -> number) in the order of the steps, notes). Of several numbers of a tag at one
    step the last counts."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError as error:
        raise ImportError(
            'reading event files needs the package tensorboard: pip install "fastebm[tensorboard]"'
        ) from error
    rows: dict[int, dict[str, Any]] = {}
    notes: list[str] = []
    n_scalars = 0
    with damage_named(path, _DAMAGED), opened(path) as file:
        for record in _records(path, file, notes):
            event = Event.FromString(record)
            for value in event.summary.value:
                number = None
                if value.HasField("simple_value"):
                    number = float(value.simple_value)
                elif value.HasField("tensor"):
                    found = make_ndarray(value.tensor)
                    if found.size == 1 and found.dtype.kind in "fiu":
                        number = float(found.reshape(()))
                if number is None:
                    continue
                rows.setdefault(event.step, {})[value.tag] = number
                n_scalars += 1
                if n_scalars % _SCALARS_A_FORECAST == 0:
                    forecast_memory(
                        _SCALAR_BYTES * _SCALARS_A_FORECAST, f"{path}: its first scalars"
                    )
    return [(step, {"step": step, **rows[step]}) for step in sorted(rows)], notes


def _records(path: str, file: IO[bytes], notes: list[str]) -> Iterator[bytes]:
    """The data of each record; a last one that is cut off is left out, with a note."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    size, at = file_size(path), 0
    while at < size:
        head = file.read(_HEAD)
        length = 0
        if len(head) == _HEAD:
            (length,) = _LENGTH.unpack_from(head)
            if masked_crc32c(head[: _LENGTH.size]) != _CHECKSUM.unpack_from(head, _LENGTH.size)[0]:
                raise malformed(path, f"the record at byte {at} has a wrong checksum", _DAMAGED)
        end = at + _HEAD + length + _CHECKSUM.size
        if len(head) < _HEAD or end > size:
            notes.append(
                f"{path}: the record at byte {at}, the last one, is cut off (a run that is still "
                "writing); it is left out"
            )
            return
        data, checksum = file.read(length), file.read(_CHECKSUM.size)
        if masked_crc32c(data) != _CHECKSUM.unpack(checksum)[0]:
            raise malformed(path, f"the record at byte {at} has a wrong checksum", _DAMAGED)
        yield data
        at = end
