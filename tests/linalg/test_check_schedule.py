"""The schedule of convergence checks, on errors that decay as known."""

import math

from fastebm.linalg.check_schedule import EAGER_STATES, CheckSchedule


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
