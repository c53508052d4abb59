"""The remedies of the library's errors, spelled as options of a command."""

import pytest

from fastebm.cli.parser import COMMANDS, OPTIONS, make_parser
from fastebm.cli.remedies import in_options

SPELLINGS = {"normalize": "--normalize", "tol": "--tol", "n_steps": "--steps", "score": "--score"}


@pytest.mark.parametrize(
    "text, translated",
    [
        ("a; pass normalize=True", "a; pass --normalize"),
        ("a; pass tol=1e-9, or score=", "a; pass --tol 1e-9, or --score"),
        ("n_steps must be at least 0", "--steps must be at least 0"),
        ("a level needs a score; give it", "a level needs a score; give it"),
        ("a; pass other=True", "a; pass other=True"),
        ("a; use chain.lazy(0.5)", "a; use --lazy 0.5"),
        (
            "a; analyse each with chain.restrict(labels == c), c from structure(chain)",
            "a; analyse each with 'fastebm convert CHAIN OUTPUT --class STATE'",
        ),
        ("tol=0.5.npz: row 1 is empty; correct it", "tol=0.5.npz: row 1 is empty; correct it"),
    ],
)
def test_translations(text, translated):
    assert in_options(text, SPELLINGS) == translated


def test_every_command_has_the_spelling_of_its_options():
    parser = make_parser()
    required = {
        "hit": ["--level", "1"],
        "reach": ["--target", "1"],
        "sweep": ["--betas", "1"],
        "tilt": ["--beta", "1", "--output", "x"],
        "policy": ["--objective", "average", "--beta", "1"],
        "convert": ["y"],
    }
    for name, command in COMMANDS.items():
        args = parser.parse_args([name, "x", *required.get(name, [])])
        assert set(args.spellings.values()) >= {*command.options, "--normalize", "--lazy"}
        assert set(args.spellings) <= set(vars(args))
    assert set(OPTIONS) == {"--target", "--level", "--html"} | {
        option for command in COMMANDS.values() for option in command.options
    }
