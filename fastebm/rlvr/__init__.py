"""Reinforcement learning with verifiable rewards (RLVR): what the energy-based view says in closed form, and how it fits.

    rlvr_laws           accuracy, KL, entropy, suboptimality of one prompt, elementwise
    rlvr_inverse        the inverse questions: the coefficient, accuracy or time for a wanted accuracy or KL budget
    rlvr_prompts        expectations over a distribution of prompts, the curve of a whole training
    rlvr_policies       exact policies over finitely many answers: natural and vanilla gradient flows
    rlvr_divergences    the optimal policy where KL is replaced by another divergence
    rlvr_curves         the laws fitted to training logs

This module gathers their public names: ``from fastebm import rlvr``.
"""

from .divergences import (
    OptimalPolicy,  # noqa: F401
    alpha_target_accuracy,  # noqa: F401
    divergence,  # noqa: F401
    optimal_policy,  # noqa: F401
)
from .inverse import (
    accuracy_for_kl,  # noqa: F401
    beta_for_accuracy,  # noqa: F401
    beta_for_kl,  # noqa: F401
    time_to_accuracy,  # noqa: F401
)
from .laws import (
    entropy,  # noqa: F401
    flow,  # noqa: F401
    kl_spent,  # noqa: F401
    log_partition,  # noqa: F401
    objective,  # noqa: F401
    pass_at_k,  # noqa: F401
    peak_entropy_accuracy,  # noqa: F401
    suboptimality,  # noqa: F401
    target_accuracy,  # noqa: F401
)
from .policies import (
    PolicyFlow,  # noqa: F401
    conditional_entropies,  # noqa: F401
    policy_flow,  # noqa: F401
)
from .prompts import (
    FlowCurve,  # noqa: F401
    beta_for_mean,  # noqa: F401
    expectation,  # noqa: F401
    flow_curve,  # noqa: F401
)
from .training_curve import (
    CurveFit,  # noqa: F401
    LawFit,  # noqa: F401
    fit_curve,  # noqa: F401
)
