"""The command ``fastebm rlvr``: what the log of a training run says."""

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

from .._runtime.whole_file import require_place, write_text
from .option_types import positive, real_number
from .outputs import file_error
from .remedies import in_options, with_options

EPILOG = """\
LOG is one of
  trainer_state.json                      of a checkpoint of TRL
  FILE.jsonl[.gz]                         verl's file logger, or one object a line
  FILE.csv[.gz]  .tsv[.gz]  .parquet      a history or an exported chart of wandb, or any table
  an event file of TensorBoard            (needs the extra tensorboard)
  completions_*.parquet, N.jsonl          files of answers (TRL, verl)
or a folder of these; several files of one run are joined by the step. Columns of TRL, verl,
OpenRLHF and open-instruct are recognised by their names.

One JSON document goes to stdout, everything else to stderr.
Exit status, and "status" in the JSON: 0 "done"; 1 "failed" (a part has no answer) or "unconverged";
2 bad usage or input; 128 + n "interrupted" by signal n."""

#: A pair of FIELD=NAME.
Pair: TypeAlias = tuple[str, str]


def _pair(text: str) -> Pair:
    field, equals, name = text.partition("=")
    if not (field and equals and name):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form FIELD=NAME")
    return field.strip(), name.strip()


OPTIONS: dict[str, dict[str, Any]] = {
    "--format": {
        "choices": ("trl", "verl", "openrlhf", "open-instruct", "plain"),
        "help": "whose names the columns have; default: recognised",
    },
    "--column": {
        "dest": "columns",
        "type": _pair,
        "action": "append",
        "metavar": "FIELD=NAME",
        "help": "column of a field: step, accuracy, kl, entropy, length, frac_all_correct, "
        "frac_all_wrong or frac_zero_std; may be repeated",
    },
    "--unit": {
        "dest": "units",
        "type": _pair,
        "action": "append",
        "metavar": "FIELD=UNIT",
        "help": "'per token' or 'per answer' for kl or entropy, where the log does not say",
    },
    "--reward-range": {
        "nargs": 2,
        "type": real_number,
        "metavar": ("LOW", "HIGH"),
        "help": "rewards of a wrong and of a right answer, default 0 1",
    },
    "--kl-factor": {
        "type": real_number,
        "metavar": "F",
        "help": "factor of the logged KL, where the trainer sums it over the updates of a step",
    },
    "--group-size": {"type": positive, "metavar": "G", "help": "answers per prompt"},
    "--run": {"dest": "run_name", "metavar": "NAME", "help": "the run, in a table of several"},
    "--law": {
        "choices": ("auto", "natural", "grpo"),
        "default": "auto",
        "help": "law of the accuracy; default auto: both are fitted and compared",
    },
    "--html": {
        "metavar": "FILE",
        "help": "also write the report as one HTML file with figures (needs the extra plot)",
    },
    "--summary": {"action": "store_true", "help": "also print the verdicts, on stderr"},
}


def add_rlvr(
    commands: Any,
    add: Callable[[argparse._ActionsContainer, dict[str, dict[str, Any]]], dict[str, str]],
) -> None:
    """Declare the command; `add` adds options and gives {parameter name: option}."""
    text = "fits and verdicts for the log of an RLVR training run"
    command = commands.add_parser(
        "rlvr",
        help=text,
        description=text,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("log", metavar="LOG", nargs="+")
    spellings = add(command, OPTIONS) | {"run": "--run"}
    command.set_defaults(run=run_rlvr, spellings=spellings, usage_error=command.error)


def run_rlvr(chain: None, args: argparse.Namespace, answer: dict[str, Any]) -> None:
    from ..report.rlvr_log import study_log
    from ..rlvr.read_log import read_log

    if args.html is not None:  # a missing package or folder is an error before the work, not after
        from ..report import rlvr_page  # noqa: F401

        require_place(args.html, "page")
    begin = time.perf_counter()
    given: dict[str, Any] = {
        "format": args.format,
        "columns": dict(args.columns or ()),
        "units": dict(args.units or ()),
        "group_size": args.group_size,
        "run": args.run_name,
    }
    if args.reward_range is not None:
        given["reward_range"] = tuple(args.reward_range)
    if args.kl_factor is not None:
        given["kl_factor"] = args.kl_factor
    log = read_log(args.log, **given)
    report: Any = with_options(study_log(log, args.law), args.spellings)
    answer |= {"log": args.log, "report": report}
    with suppress(OSError):  # a full disk there must not cost the JSON
        for note in log.notes:
            print(f"fastebm rlvr: {in_options(note, args.spellings)}", file=sys.stderr)
        if args.summary:
            print("\n".join(report.verdicts), file=sys.stderr)
    if args.html is not None:
        _write_page(report, args, answer, begin)


def _write_page(
    report: Any, args: argparse.Namespace, answer: dict[str, Any], begin: float
) -> None:
    from ..report.facts import versions
    from ..report.rlvr_page import page

    try:
        write_text(page(report, versions(), time.perf_counter() - begin), args.html)
    except Exception as error:  # a full disk, a drawing that fails: the JSON must not be lost
        answer["error"] = file_error("page", error)
