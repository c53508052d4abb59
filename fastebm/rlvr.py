"""Reinforcement learning with verifiable rewards (RLVR): what the energy-based view says in closed form, and how it fits.

    rlvr_laws           accuracy, KL, entropy, suboptimality of one prompt, elementwise
    rlvr_inverse        the inverse questions: the coefficient, accuracy or time for a wanted accuracy or KL budget
    rlvr_prompts        expectations over a distribution of prompts, the curve of a whole training
    rlvr_policies       exact policies over finitely many answers: natural and vanilla gradient flows
    rlvr_divergences    the optimal policy where KL is replaced by another divergence
    rlvr_curves         the laws fitted to training logs

This module gathers their public names: ``from fastebm import rlvr``.
"""

from .rlvr_laws import (  # noqa: F401
    entropy, flow, kl_spent, log_partition, objective, pass_at_k, peak_entropy_accuracy, suboptimality, target_accuracy,
)
from .rlvr_inverse import accuracy_for_kl, beta_for_accuracy, beta_for_kl, time_to_accuracy  # noqa: F401
from .rlvr_prompts import FlowCurve, beta_for_mean, expectation, flow_curve  # noqa: F401
from .rlvr_policies import PolicyFlow, conditional_entropies, policy_flow  # noqa: F401
from .rlvr_divergences import OptimalPolicy, alpha_target_accuracy, divergence, optimal_policy  # noqa: F401
from .rlvr_curves import CurveFit, LawFit, fit_curve  # noqa: F401
