"""Files replaced as a whole: after failures, kills and races, on full disks."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fastebm._runtime.whole_file import draft_of, replacing, write_text

WRITER = """
import sys
from pathlib import Path
from fastebm._runtime.whole_file import replacing
with replacing(sys.argv[1]) as draft:
    draft.write_text("half of the new")
    print("written", flush=True)
    sys.stdin.read()
    draft.write_text("new")
"""


def names(folder):
    return sorted(os.listdir(folder))


@pytest.fixture
def writer(tmp_path):
    """A process that has written half of a draft and waits for the end of its input."""
    path = tmp_path / "file.txt"
    path.write_text("old")
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"written\n"
    yield path, process
    process.kill()
    process.communicate()


def test_the_file_is_replaced_at_the_end_of_the_block(tmp_path):
    path = tmp_path / "file.csv"
    path.write_text("old")
    with replacing(path) as draft:
        assert draft.suffix == ".csv"
        draft.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["file.csv"]


def test_a_failing_block_changes_nothing(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as draft:
        draft.write_text("new")
        1 / 0  # noqa: B018
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_files_of_the_user_are_not_taken_for_drafts(tmp_path):
    mine = [".file.old.draft", ".file.draft", ".file.01234567.draft.old.csv"]
    for name in mine:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".file.01234567.draft").write_text("of a killed writer")
    write_text("new", tmp_path / "file")
    assert names(tmp_path) == sorted([*mine, "file"])


def test_a_file_keeps_who_may_read_it(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    for mode in (0o600, 0o664):
        path.chmod(mode)
        write_text("new", path)
        assert path.stat().st_mode & 0o777 == mode


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_written_to_and_stays(tmp_path):
    path, read = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    write_text("new", path)
    reader.join()
    assert read == ["new"] and path.is_fifo()


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere" / "file")
    write_text("new", link)
    assert link.is_symlink()
    assert (tmp_path / "elsewhere" / "file").read_text() == "new"


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "a." + "b" * 250, "...c"])
def test_any_name_that_the_file_system_accepts(tmp_path, name):
    write_text("new", tmp_path / name)
    assert names(tmp_path) == [name]


def test_a_killed_writer_leaves_the_old_file_and_the_next_removes_its_draft(writer):
    path, process = writer
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.read_text() == "old"
    assert len(names(path.parent)) == 2
    write_text("newer", path)
    assert path.read_text() == "newer"
    assert names(path.parent) == ["file.txt"]


def test_the_draft_of_a_living_writer_is_left_alone(writer):
    path, process = writer
    write_text("newer", path)
    assert len(names(path.parent)) == 2
    process.communicate(b"")
    assert process.returncode == 0
    assert path.read_text() == "new"
    assert names(path.parent) == ["file.txt"]


def test_many_writers_at_once(tmp_path):
    path = tmp_path / "file"
    texts = [str(i) * 1000 for i in range(10)]

    def write(text):
        for _ in range(20):
            write_text(text, path)

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts
    assert names(tmp_path) == ["file"]


def test_a_full_disk_is_an_error_with_path_and_bytes(tmp_path):
    """The limit of a file's size stands for a full disk: any user can set it."""
    path = tmp_path / "file"
    path.write_text("old")
    program = (
        "import resource, signal, sys\n"
        "from fastebm._runtime.whole_file import write_text\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (4096, {resource.RLIM_INFINITY}))\n"
        "try:\n    write_text('x' * 10000, sys.argv[1])\n"
        "except OSError as error:\n    print(error.errno, error.filename, error.strerror)\n"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith(f"{errno.EFBIG} {path} ")
    assert "after 4,096 bytes" in run.stdout
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_locked_folder_that_is_renamed_stays(tmp_path):
    target = tmp_path / "folder"
    with draft_of(target, is_folder=True) as draft:
        Path(draft, "file").write_text("x")
        draft.rename(target)
    assert names(tmp_path) == ["folder"]
    with draft_of(target, is_folder=True) as draft:
        Path(draft, "file").write_text("y")
    assert names(tmp_path) == ["folder"]


def interrupted_at(line, work):
    """Run work() with Ctrl-C before the given line, counted over those of the module that run;
    returns whether it came."""
    left = line

    def trace(frame, event, _):
        nonlocal left
        if frame.f_code.co_filename != replacing.__wrapped__.__code__.co_filename:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return left <= 0


def test_ctrl_c_at_any_line_leaves_the_old_file_or_the_new_one(tmp_path):
    path, line, seen = tmp_path / "file", 0, set()
    came = True
    while came:
        line += 1
        path.write_text("old")
        came = interrupted_at(line, lambda: write_text("new", path))
        assert names(tmp_path) == ["file"]
        seen.add(path.read_text())
    assert seen == {"old", "new"} and line > 50


@pytest.mark.parametrize("is_folder", [False, True])
def test_ctrl_c_while_a_draft_is_made_leaves_none(tmp_path, monkeypatch, is_folder):
    """The handler of a signal runs when a slow call of the system has ended."""

    def opened(*arguments):
        os.close(open_(*arguments))
        monkeypatch.undo()
        raise KeyboardInterrupt

    open_ = os.open
    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(KeyboardInterrupt), draft_of(tmp_path / "file", is_folder=is_folder):
        pass
    assert names(tmp_path) == []
