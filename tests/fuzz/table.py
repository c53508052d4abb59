"""The table at the end, and the failures with their replays."""

from collections import defaultdict

from .verdicts import OUTCOMES

TITLES = {
    "right": "right",
    "open": "unconverged",
    "refused": "refused",
    "wrong": "wrong",
    "end": "end violated",
    "crash": "crash",
}


def table(tally, by):
    """Lines: answers of each analysis (by=0) or kind of chain (by=1), by outcome."""
    rows = defaultdict(lambda: dict.fromkeys(OUTCOMES, 0))
    for key, number in tally.counts.items():
        rows[key[by]][key[2]] += number
    name = ("analysis", "kind of chain")[by]
    yield f"| {name:28} |" + "".join(f" {TITLES[o]:>12} |" for o in OUTCOMES)
    yield f"|{'-' * 30}|" + f"{'-' * 13}:|" * len(OUTCOMES)
    for key in sorted(rows):
        yield f"| {key:28} |" + "".join(f" {rows[key][o]:12,d} |" for o in OUTCOMES)


def cross_table(tally):
    """Lines: bad answers of each analysis on each kind, where there are any."""
    bad = defaultdict(int)
    for (analysis, kind, outcome), number in tally.counts.items():
        if outcome in ("wrong", "end", "crash"):
            bad[analysis, kind] += number
    for (analysis, kind), number in sorted(bad.items(), key=lambda item: -item[1]):
        yield f"{number:7d}  {analysis} on {kind}"


def failures(tally):
    """Lines: each sort of failure, how often, and how to see it again."""
    for key, (number, examples) in sorted(tally.failures.items(), key=lambda item: -item[1][0]):
        analysis, name, outcome = key
        yield f"{number} x {TITLES[outcome]}: {analysis}, {name}"
        for replay, kind, detail in examples:
            yield f"    {kind}: {detail[:220]}"
            yield f"    python -m tests.fuzz --replay {replay} --only {analysis}"
