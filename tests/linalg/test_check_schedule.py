"""The schedule of convergence checks, on errors that decay as known."""

import math

import numpy as np
import pytest

from fastebm.linalg.check_schedule import EAGER_STATES, Check, CheckSchedule, run_until_converged


def test_checks_close_in_on_the_wanted_error():
    """With an error that halves in every step the last check is at most one step late on a large
    chain, and at most 5 % of the steps on a small one, where checks cost more than steps."""
    for n_states, late in ((EAGER_STATES, 1), (100, 5)):
        schedule, n_checks = CheckSchedule(n_states), 0
        while 0.5**schedule.next > 1e-24:
            schedule.plan(schedule.next, 0.5**schedule.next, 1e-24)
            n_checks += 1
            again = CheckSchedule(n_states)
            again.restore(schedule.state())
            assert vars(again) == vars(schedule)
        assert schedule.next - math.ceil(24 / math.log10(2)) < late and n_checks < 20
    schedule = CheckSchedule(EAGER_STATES)
    for steps, error in ((10, 1e-3), (15, 1e-2), (20, 1e-2)):  # no decay, no extrapolation
        schedule.plan(steps, error, 1e-8)
    assert schedule.next == 25


@pytest.mark.parametrize("beta, limit", [(0.5, 4), (0.0, 100)])
def test_a_recurrence_resumed_at_its_end_makes_no_step(beta, limit):
    """At its limit of steps, or with an invariant subspace, a recurrence may be resumed in a second
    pass, whose vectors are other ones."""

    class AtEnd:
        alpha, beta = np.zeros(4), np.array([0.5, 0.5, 0.5, 0.0])

        def expand(self, n_steps):
            raise AssertionError

    recurrence, seen = AtEnd(), []
    recurrence.beta[-1] = beta

    def check(exhausted):
        seen.append(exhausted)
        return Check(1.0, 1e-8)

    assert run_until_converged(recurrence, CheckSchedule(100), limit, check)
    assert seen == [beta == 0.0]
