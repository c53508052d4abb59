"""Slow, strict readings of training logs, independent of fastebm: the rows of every format, and
what the columns of a trainer mean."""

import json
import math
import re
import struct

from .strict import Unreadable, csv_rows, need, number, text_of

MISSING = ("", "nan", "null", "none", "na", "n/a", "-")
# The columns that the trainers of the seeds write, and "plain" ones.
MEANS = {
    "step": ("step", "training_step", "global_step", "Step", "_step", "steps"),
    "accuracy": (
        *("rewards/accuracy_reward/mean", "reward", "critic/score/mean", "rollout/reward_mean"),
        *("objective/verifiable_correct_rate", "scores", "accuracy"),
    ),
    "kl": ("kl", "actor/kl_loss", "objective/kl2_avg"),
    "entropy": ("entropy", "actor/entropy", "entropy_loss", "policy/entropy_avg"),
    "length": (
        *("completions/mean_length", "response_length/mean", "rollout/response_length_mean"),
        *("response_length", "val/sequence_lengths", "length"),
    ),
    "frac_all_correct": ("frac_all_correct",),
    "frac_all_wrong": ("frac_all_wrong",),
    "frac_zero_std": ("frac_reward_zero_std", "frac_zero_std"),
}
UNREAD = ("completion", "advantage")
REWARDS = ("accuracy_reward", "acc", "score")
UNKNOWN = object()  # a tensor of an event file, which is not followed


def rows(path):
    """[{column: cell}] of a file."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".tfevents"):
        return event_rows(path.read_bytes())
    if name.endswith(".parquet"):
        import pyarrow.parquet as pq

        names = [name for name in pq.read_schema(path).names if name not in UNREAD]
        return pq.read_table(path, columns=names).to_pylist()
    text = text_of(path)
    if name.endswith(".json"):
        found = decoded(text)
        return found["log_history"] if isinstance(found, dict) else found
    return json_lines(text) if name.endswith(".jsonl") else csv_log(text)


def short(column):
    """A column without the run and the folder that wandb and TensorBoard put before it."""
    return column.rsplit(" - ", 1)[-1].removeprefix("train/")


def value(cell):
    """The number in a cell; None if it is missing."""
    if cell is None or cell is UNKNOWN:
        return cell
    if isinstance(cell, str):
        cell = cell.strip()
        if cell.lower() in MISSING:
            return None
        is_infinite = cell.lower().lstrip("+-") in ("inf", "infinity")
        cell = math.inf if is_infinite else number(cell, most=math.inf)
    need(isinstance(cell, bool | int | float), f"{cell!r} is no number")
    return float(cell) if math.isfinite(cell) else None


def series(table, step, column):
    """{step: number} of a column; of several the last."""
    found = {}
    for row in table:
        at, this = value(row.get(step)), value(row.get(column))
        if at is not None and this is not None:
            found[at] = this
    return found


def groups(table, column):
    """{(step, prompt): rewards} of a table of answers."""
    found = {}
    for row in table:
        prompt = row.get("prompt", row.get("input"))
        at, reward = value(row.get("step")), value(row.get(column))
        need(prompt is not None and at is not None, "no prompt or step")
        need(reward in (None, 0.0, 1.0), f"reward {reward}")
        if reward is not None:
            found.setdefault((at, str(prompt)), []).append(reward)
    return found


# --- text -----------------------------------------------------------------------------------------


def decoded(text):
    def once(pairs):
        need(len({name for name, _ in pairs}) == len(pairs), "a key twice")
        return dict(pairs)

    return json.loads(text, object_pairs_hook=once)


def json_lines(text):
    found = []
    lines = re.split("\r\n|\r|\n", text)
    for at, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            row = decoded(line)
        except json.JSONDecodeError:
            need(at == len(lines) - 1, "a damaged line")
            break
        need(isinstance(row, dict), "no object")
        inner = row.get("data")
        found.append({"step": row.get("step"), **inner} if isinstance(inner, dict) else row)
    return found


def csv_log(text):
    records = csv_rows(text)
    need(records, "empty")
    header, *body = records
    named = [name for name in header if name]
    need(len(set(named)) == len(named), "a column twice")
    if body and len(body[-1]) < len(header):
        body = body[:-1]
    need(all(len(record) == len(header) for record in body), "fields")
    return [dict(zip(header, record, strict=True)) for record in body]


# --- event files ----------------------------------------------------------------------------------


def crc32c(data):
    """CRC-32C by its definition, bit by bit (polynomial 0x1EDC6F41, reflected)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def records(data):
    """The records of a TFRecord file; a last one that is cut off is left out."""
    found, at = [], 0
    while at < len(data):
        head = data[at : at + 12]
        if len(head) < 12:
            break
        need(masked(head[:8]) == head[8:], "checksum of a length")
        end = at + 12 + int.from_bytes(head[:8], "little")
        if end + 4 > len(data):
            break
        need(masked(data[at + 12 : end]) == data[end : end + 4], "checksum of a record")
        found.append(data[at + 12 : end])
        at = end + 4
    return found


def framed(found):
    """The TFRecord file of records."""
    sizes = [len(record).to_bytes(8, "little") for record in found]
    return b"".join(
        size + masked(size) + record + masked(record)
        for size, record in zip(sizes, found, strict=True)
    )


def fields(data):
    """(number, wire type, value) of the fields of a protocol buffer message."""
    at = 0

    def varint():
        nonlocal at
        result = shift = 0
        while True:
            need(at < len(data) and shift < 70, "varint")
            byte = data[at]
            at += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result & (2**64 - 1)

    while at < len(data):
        key = varint()
        wire = key & 7
        need(key >> 3 > 0 and wire in (0, 1, 2, 5), "field")
        if wire == 0:
            yield key >> 3, wire, varint()
            continue
        size = {1: 8, 5: 4}.get(wire) or (varint() if wire == 2 else 0)
        need(at + size <= len(data), "size")
        yield key >> 3, wire, data[at : at + size]
        at += size


def scalars(data):
    """(step, {tag: number}) of an Event. Of the members of a oneof the last counts."""
    step, summary = 0, []
    for field, wire, content in fields(data):
        if (field, wire) == (2, 0):
            step = content - 2**64 if content >= 2**63 else content
        elif (field, wire) == (5, 2):
            summary.append(content)
        elif wire == 2 and field in (3, 4, 6, 7, 8, 9):
            summary = []
    found = {}
    for field, wire, content in fields(b"".join(summary)):
        if (field, wire) != (1, 2):
            continue
        tag, this = "", None
        for inner, kind, part in fields(content):
            if (inner, kind) == (1, 2):
                tag = part.decode()
            elif (inner, kind) == (2, 5):
                (this,) = struct.unpack("<f", part)
            elif kind == 2 and inner in (3, 4, 5, 6, 8):
                this = UNKNOWN if inner == 8 else None
        if this is not None:
            found[tag] = this
    return step, found


def event_rows(data):
    found = {}
    for record in records(data):
        step, values = scalars(record)
        if values:
            found.setdefault(step, {"step": step}).update(values)
    return [found[step] for step in sorted(found)]


__all__ = ["MEANS", "REWARDS", "UNKNOWN", "Unreadable", "framed", "groups", "records", "rows"]
