"""Coverage-guided fuzzing of the readers of one format, without end or for a time. It needs the
package atheris, which is no dependency of the project:

    pip install atheris
    python -m tests.fuzz_files.coverage "matrix .csv" -max_total_time=300

Options after the format are those of libFuzzer. It starts from the files of `seeds` and stops at
the first verdict that is bad; the input is then left in the folder as crash-*.
"""

import sys
import tempfile
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["fastebm"]):
    from fastebm._runtime import memory

    from . import judges
    from .formats import Formats


def main():
    name, *options = sys.argv[1:]
    memory.free_memory = lambda: 1 << 28  # libFuzzer ends the process at 2 GB
    # the library alone: a command takes as long as a hundred readings
    judges.command = lambda arguments, path=None: judges.Verdict(judges.RIGHT)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        suffix, files, judge = Formats(place).contents[name]
        corpus = place / "corpus"
        corpus.mkdir()
        for number, content in enumerate(files):
            (corpus / str(number)).write_bytes(content)

        def one_input(data):
            path = place / f"x{suffix}"
            path.write_bytes(data)
            verdict = judge(path, np.random.default_rng(0))
            assert verdict.outcome not in judges.BAD, f"{verdict.outcome}: {verdict.detail}"

        atheris.Setup([sys.argv[0], str(corpus), *options], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
