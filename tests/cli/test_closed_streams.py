"""Standard streams that are closed or take no more: neither the answer nor its files are lost, and
messages stay out of them."""

import json
import os
import subprocess
import sys

import pytest

DEMO = ["demo", "--dataset", "english-phones", "--betas", "1", "--output"]


@pytest.fixture
def chain(tmp_path):
    path = tmp_path / "walk.csv"
    path.write_text("a,b,1\nb,a,1\n")
    return path


def shell(line, *arguments):
    """Run a line of the shell in which "$@" are the command and its arguments."""
    command = [
        "bash",
        "-c",
        line,
        "bash",
        sys.executable,
        "-P",
        "-m",
        "fastebm",
        *map(str, arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True)


def test_messages_do_not_go_to_stdout_when_stderr_is_closed(chain):
    done = shell('"$@" 2>&-', "mix", chain)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["error"] == "PeriodicChainError"
    done = shell('"$@" 2>&-', "hit", chain, "--target", "c")
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="shows the numbers of files")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_gets_the_number_of_a_closed_stream(tmp_path, closed):
    out = tmp_path / "numbers"
    program = (
        "from fastebm import cli; import os, sys\n"
        f"cli._call = lambda *_: os.open({str(out)!r}, os.O_CREAT | os.O_WRONLY)\n"
        "cli.run_process()"
    )
    done = subprocess.run(
        ["bash", "-c", f'"$@" {closed}', "bash", sys.executable, "-P", "-c", program]
    )
    assert done.returncode > 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_lines_on_a_full_stderr_cost_no_answer(chain):
    done = shell('"$@" 2>/dev/full', "analyze", chain, "--summary")
    assert json.loads(done.stdout)["report"]["chain"]["n_states"] == 2


@pytest.mark.parametrize("line", ['"$@" | head -1; exit ${PIPESTATUS[0]}', '"$@" >/dev/full'])
def test_a_summary_that_cannot_be_printed_costs_no_report(tmp_path, line):
    page = tmp_path / "page.html"
    done = shell(line, *DEMO, tmp_path / "report.json", "--html", page)
    assert done.returncode == (1 if "head" in line else 2)
    assert "Traceback" not in done.stderr and "ignored" not in done.stderr
    assert json.loads((tmp_path / "report.json").read_text())["status"] == "done"
    assert page.exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", [["--help"], ["gap", "--help"], ["--version"]])
def test_help_that_cannot_be_printed_is_an_error(arguments):
    done = shell('"$@" >/dev/full', *arguments)
    assert done.returncode == 2 and "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1
