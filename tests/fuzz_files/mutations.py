"""Mutations of bytes, of tokens of a text, and of what is inside an archive."""

import gzip
import io
import json
import re
import zipfile

import numpy as np

from .strict_logs import framed, records

TOKENS = """nan inf -inf NaN -1 0 1 2 -0 1e999 1e-400 1_000 0x10 1.0junk 2.! . - + +1 1e e5 1.5 007
99999999999999999999 2147483647 2147483648 4294967296 9223372036854775807 9223372036854775808
1099511627776 2000000000 100000 -5 1e5 1E+2 .5 5. 1,2 1;2 % # " "" ' null true [] {} source target
weight 1.7976931348623157e308 5e-324 dtmc mdp symmetric skew-symmetric hermitian complex pattern
integer real array coordinate general matrix 0 0""".split(" ")
TOKENS = [token for word in TOKENS for token in word.split("\n")]
# What most formats read.
VALID = "0 1 2 3 4 1. .5 0.25 2.5 1e-3 12E-2 00 3.0 1e+1 0.10000000000000000555111512".split()
ODD = [
    *("", "9" * 6000, "\u0661", "\u00e9", "\0", "\r", "\ufeff", "a b", "x" * 200, "[" * 3000),
    *("\udcff", "\n", "1 1", "\t", "--", "\u2028"),
]


def pick(rng, options):
    return options[int(rng.integers(len(options)))]


def mutated_bytes(rng, data, other):
    """`data` with a few bytes changed, moved, lost or taken from `other`."""
    data = bytearray(data)
    size = len(data)
    kind = int(rng.integers(9))
    at = int(rng.integers(size + 1))
    length = int(rng.integers(1, 1 + max(1, min(size, 40))))
    if kind <= 1:
        for _ in range(int(rng.integers(1, 9))):
            if size:
                data[int(rng.integers(size))] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        data[at:at] = rng.bytes(length)
    elif kind == 3:
        del data[at : at + length]
    elif kind == 4:
        del data[at:]
    elif kind == 5:
        data[at:at] = data[at : at + length]
    elif kind == 6:
        cut = int(rng.integers(len(other) + 1))
        data[at:] = other[cut:]
    elif kind == 7:
        data[at : at + length] = pick(rng, [b"\0", b"\xff", b"9", b"\n", b" "]) * length
    else:
        data += pick(rng, [b"\0", b"\n", b"garbage", bytes(data)])
    return bytes(data)


def mutated_text(rng, data, other):
    """`data` with tokens or lines changed; sometimes as bytes."""
    if rng.random() < 0.25:
        return mutated_bytes(rng, data, other)
    text = data.decode("utf-8", "surrogateescape")
    for _ in range(int(rng.integers(1, 4))):
        lines = text.split("\n")
        at = int(rng.integers(len(lines)))
        kind = int(rng.integers(10))
        if kind <= 5:
            tokens = [*re.finditer(r"[^\s,\[\]{}:]+", text)]
            if tokens:
                # the first tokens are those of the header
                last = len(tokens) if rng.random() < 0.7 else min(len(tokens), 6)
                found = tokens[int(rng.integers(last))]
                new = pick(rng, pick(rng, [TOKENS, TOKENS, VALID, VALID, ODD]))
                if rng.random() < 0.2:
                    new = found.group() + new
                text = text[: found.start()] + new + text[found.end() :]
            continue
        if kind == 6:
            lines.insert(int(rng.integers(len(lines) + 1)), lines[at])
        elif kind == 7:
            del lines[at]
        elif kind == 8:
            lines.insert(at, pick(rng, ["", "  ", "# x", "% x", "0,0", "1 1", "1 1 1", lines[0]]))
        else:
            text = pick(
                rng,
                [
                    text.replace("\n", "\r\n"),
                    text.replace("\n", "\r"),
                    text.rstrip("\n"),
                    text.replace(",", ";"),
                    text.replace(",", ", "),
                    text.replace(" ", "\t"),
                    text + text,
                    "\ufeff" + text,
                    text.upper(),
                ],
            )
            continue
        text = "\n".join(lines)
    return text.encode("utf-8", "surrogateescape" if "\udcff" not in text else "replace")


def mutated_gz(rng, data, other):
    if rng.random() < 0.3:
        return mutated_bytes(rng, data, other)
    text = mutated_text(rng, gzip.decompress(data), gzip.decompress(other))
    return gzip.compress(text, mtime=0)


def mutated_npy(rng, data, other):
    """A changed array, or header, of a .npy file."""
    if rng.random() < 0.3:
        return mutated_bytes(rng, data, other)
    if rng.random() < 0.4:
        end = 10 + int.from_bytes(data[8:10], "little")
        header = mutated_text(rng, data[10:end], data[10:end])
        if rng.random() < 0.8:  # of the same length, which the bytes before it give
            header = header[: end - 10].ljust(end - 10)
        return data[:10] + header + data[end:]
    return _npy(mutated_array(rng, np.load(io.BytesIO(data))))


def mutated_array(rng, array):
    array = np.array(array)
    kind = int(rng.integers(8))
    if kind <= 2 and array.size and array.dtype.kind in "iuf":
        values = [-1, 0, 1, 2, 3, 1000, 2**31 - 1, 2**31, -(2**31), 2**62, np.inf, np.nan, -2.5]
        values = values if array.dtype.kind == "f" else values[:-3]
        array = array.astype(np.float64 if array.dtype.kind == "f" else np.int64)
        array.flat[int(rng.integers(array.size))] = pick(rng, values)
    elif kind == 3:
        array = np.resize(array, max(0, array.size + int(rng.integers(-2, 3))))
    elif kind == 4:
        types = [np.float64, np.int8, np.uint64, np.bool_, "S3", "U3", complex, ">i4", np.float16]
        array = array.astype(pick(rng, types)) if array.dtype.kind in "biuf" else array
    elif kind == 5:
        array = array.reshape(pick(rng, [(-1, 1), (1, -1), (-1,)]))
    elif kind == 6:
        array = array[::-1] if array.ndim else array
    else:
        array = np.array(pick(rng, [0, 7, -3, 2**40, "csr", "coo", b"dia", "exec"]))
    return array


def _npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def mutated_npz(rng, data, other):
    """Members changed, lost, repeated or under another name, or the archive as bytes."""
    if rng.random() < 0.35:
        return mutated_bytes(rng, data, other)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = pick(rng, [*members])
    kind = rng.random()
    if kind < 0.75:
        members[name] = mutated_npy(rng, members[name], members[pick(rng, [*members])])
    elif kind < 0.85:
        del members[name]
    else:
        members[pick(rng, [*members])] = members[name]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", pick(rng, [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as new:
        for name, content in members.items():
            new.writestr(name, content)
    found = bytearray(file.getvalue())
    if rng.random() < 0.15:  # a lie about a size: in the directory, each has 24 bytes before it
        at = found.rfind(b"PK\x01\x02") + int(rng.integers(16, 30))
        found[at] ^= 1 << int(rng.integers(8))
    return bytes(found)


def mutated_events(rng, data, other):
    """Records changed, lost, repeated, moved or taken from `other`, or the file as bytes."""
    if rng.random() < 0.3:
        return mutated_bytes(rng, data, other)
    found = records(data)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(found)))
        kind = int(rng.integers(6))
        if kind <= 2:
            found[at] = mutated_bytes(rng, found[at], pick(rng, found))
        elif kind == 3:
            found.insert(int(rng.integers(len(found) + 1)), pick(rng, records(other)))
        elif kind == 4 and len(found) > 1:
            del found[at]
        else:
            found.append(found.pop(at))
    return framed(found)


def mutated_json(rng, data, other):
    if rng.random() < 0.5:
        return mutated_text(rng, data, other)
    value = json.loads(data)
    for _ in range(int(rng.integers(1, 3))):
        value = _changed(rng, value)
    return json.dumps(value).encode()


def _changed(rng, value):
    """A JSON value with one part replaced."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = pick(rng, [*value])
        return value | {key: _changed(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = int(rng.integers(len(value)))
        return [*value[:at], _changed(rng, value[at]), *value[at + 1 :]]
    new = [None, True, -1, 0, 3, 2**70, 1e300, -0.5, "", "x", "1_0", "\ud800", [], {}, [[]], [1, 2]]
    return pick(rng, [*new, {"a": 1}, "../outside", "evil:f", "/etc/passwd", float("nan")])
