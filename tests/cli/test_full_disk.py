"""Every file that a command writes, on a full disk: an error that names the file and the bytes, the
old file as it was, and no draft.

The disk is a tmpfs of 1 MB, filled to the last page, where the tests may mount one. Everywhere the
largest size of a file stands for it, which any user can set.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp

import fastebm as fe

#: name -> (file or folder to write, arguments of the command with SOURCE and OUTPUT).
OUTPUTS = {
    "npz": ("out.npz", ["convert", "SOURCE", "OUTPUT"]),
    "mtx": ("out.mtx", ["convert", "SOURCE", "OUTPUT"]),
    "folder": ("out", ["convert", "SOURCE", "OUTPUT"]),
    "tilt": ("out", ["tilt", "SOURCE", "--reward", "REWARD", "--beta", "2", "--output", "OUTPUT"]),
    "json": (
        "out.json",
        ["demo", "--dataset", "english-phones", "--betas", "1", "--output", "OUTPUT"],
    ),
    "html": ("out.html", ["analyze", "SOURCE", "--spectrum", "0", "--html", "OUTPUT"]),
}
SIZE = 1 << 20


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "fastebm-test", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place):
    """Leave no page free."""
    with open(place / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def command(kind, folder, place):
    """(arguments, output) of a command that writes about 100 kB, and the inputs that it needs."""
    name, words = OUTPUTS[kind]
    n, rng = 100, np.random.default_rng(0)
    P = rng.random((n, n))
    sp.save_npz(folder / "source.npz", sp.csr_array(P / P.sum(axis=1)[:, None]))
    np.save(folder / "reward.npy", rng.random(n))
    named = {
        "SOURCE": folder / "source.npz",
        "REWARD": folder / "reward.npy",
        "OUTPUT": place / name,
    }
    return [str(named.get(word, word)) for word in words], place / name


def write_old(output):
    if output.suffix:
        output.write_text("old")
    else:
        fe.MarkovChain(np.array([[0.5, 0.5], [0.25, 0.75]])).save(output)


def check_old(output, others):
    names = set(os.listdir(output.parent)) - others
    assert names == {output.name}
    if output.suffix:
        assert output.read_text() == "old"
    else:
        assert fe.load(output, verify=True).to_scipy().toarray().tolist() == [
            [0.5, 0.5],
            [0.25, 0.75],
        ]
        assert len(os.listdir(output)) == 2


def check_error(kind, output, code, err):
    assert code == (1 if kind == "html" else 2)  # the JSON of analyze is printed all the same
    assert str(output) in err and "bytes" in err and "free" in err and err.count("\n") == 1


@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_full_disk(kind, small_disk, tmp_path, capfd):
    from fastebm.cli import main

    arguments, output = command(kind, tmp_path, small_disk)
    write_old(output)
    fill(small_disk)
    capfd.readouterr()
    code = main(arguments)
    check_error(kind, output, code, capfd.readouterr().err)
    check_old(output, {"filler"})
    os.unlink(small_disk / "filler")
    assert main(arguments) == 0  # the disk has space again
    assert not output.suffix or output.read_bytes() != b"old"
    assert set(os.listdir(small_disk)) == {output.name}


LIMITED = """
import contextlib, io, json, resource, sys
from fastebm.cli import main
for arguments in json.loads(sys.argv[1]):
    error, limits = io.StringIO(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
        code = main(arguments)
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    print(json.dumps([code, error.getvalue()]))
"""


def test_files_that_become_too_large(tmp_path):
    commands = {}
    for kind in OUTPUTS.keys() - {"html"}:  # which draws for some seconds
        place = tmp_path / kind
        place.mkdir()
        commands[kind] = command(kind, tmp_path, place)
        write_old(commands[kind][1])
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            LIMITED,
            json.dumps([words for words, _ in commands.values()]),
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    for (kind, (_, output)), line in zip(commands.items(), done.stdout.splitlines(), strict=True):
        check_error(kind, output, *json.loads(line))
        check_old(output, set())


def test_a_first_save_on_a_full_disk_leaves_nothing(small_disk, tmp_path):
    rng = np.random.default_rng(0)
    large = fe.MarkovChain(sp.random_array((400, 400), density=0.9, rng=rng), normalize=True)
    with pytest.raises(OSError, match=r"after [\d,]+ bytes, [\d,]+ free") as caught:
        large.save(small_disk / "deep" / "chain")
    assert caught.value.filename == str(small_disk / "deep" / "chain")
    assert os.listdir(small_disk) == []
    # one whose data fit while the old ones are there, and not beside a third
    small = fe.MarkovChain(large.to_scipy()[:150, :150], normalize=True)
    for _ in range(3):
        small.save(small_disk / "chain")
    with pytest.raises(OSError, match="No space left"):
        large.save(small_disk / "chain")
    assert fe.load(small_disk / "chain", verify=True).fingerprint() == small.fingerprint()
    shutil.rmtree(small_disk / "chain")
