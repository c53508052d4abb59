"""Warnings at the user's line, and those that are collected."""

import re
import threading
import warnings
from pathlib import Path

import pytest

import fastebm as fe
from fastebm._runtime import warn


def test_threads_collect_their_own_and_leave_the_filters_alone():
    """Two blocks that overlap, and end in the order in which they began."""
    both, first_ended = threading.Barrier(2), threading.Event()
    found, filters, show = {}, [*warnings.filters], warnings.showwarning

    def run(name):
        with warn.shortfalls() as texts:
            both.wait(30)
            warn.warn_unconverged(f"{name} did not converge")
            warn.warn_unconverged(f"{name} did not converge")
            both.wait(30)
            if name == "second":
                first_ended.wait(30)
        first_ended.set()
        found[name] = texts

    threads = [threading.Thread(target=run, args=(name,)) for name in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {name: [f"{name} did not converge"] for name in ("first", "second")}
    assert warnings.filters == filters and warnings.showwarning is show
    with pytest.warns(fe.ConvergenceWarning, match="outside"):
        warn.warn_unconverged("outside")


def test_shortfalls_are_collected_also_where_warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with warn.shortfalls() as texts, warn.shortfalls() as inner:
            warn.warn_unconverged("inner")
        assert (texts, inner) == ([], ["inner"])
        with pytest.raises(fe.ConvergenceWarning):
            warn.warn_unconverged("raised")


def test_a_warning_is_shown_at_the_users_line():
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warn.warn_user("a", UserWarning)
        warn.show_user("b", UserWarning)
    assert [warning.filename for warning in found] == [__file__, __file__]
    assert found[1].lineno - found[0].lineno == 1


def test_no_module_has_warnings_of_its_own_that_would_not_be_collected():
    """A `ConvergenceWarning` that is not issued by `warn_unconverged` would pass `shortfalls` by,
    and `catch_warnings` changes the filters of all threads."""
    package = Path(fe.__file__).parent
    allowed = {package / "_runtime" / "warn.py", package / "cli" / "call.py"}
    for path in set(package.rglob("*.py")) - allowed:
        text = path.read_text()
        assert "catch_warnings(" not in text, path
        assert not re.search(r"warn\([^()]*(\([^()]*\)[^()]*)*ConvergenceWarning", text), path
