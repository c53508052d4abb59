"""Reinforcement learning with verifiable rewards (RLVR): the closed forms of the energy-based view,
exact policies, and fits to training logs. ``from fastebm import rlvr`` gives the public names."""

from .attempts import MeanPassAtK, mean_pass_at_k, pass_at_k_from_counts, pass_at_k_interval
from .curve_results import CurveFit, LawComparison, LawFit
from .divergences import OptimalPolicy, alpha_target_accuracy, divergence, optimal_policy
from .entropies import entropy, peak_entropy_accuracy
from .finite_tuning import BestOfN, PreferencePolicy, best_of_n, preference_policy
from .grpo import grpo_flow, objective_weights
from .grpo_iteration import grpo_fixed_point, grpo_recurrence
from .inverse import accuracy_for_kl, beta_for_accuracy, beta_for_kl, time_to_accuracy
from .kl import kl_spent, objective, suboptimality
from .laws import flow, log_partition, pass_at_k, target_accuracy
from .policies import PolicyFlow, conditional_entropies, policy_flow
from .prompt_fit import PromptFit, fit_prompts
from .prompts import FlowCurve, beta_for_mean, expectation, flow_curve
from .read_log import TrainingLog, read_log
from .training_curve import fit_curve

__all__ = [
    "BestOfN",
    "CurveFit",
    "FlowCurve",
    "LawComparison",
    "LawFit",
    "MeanPassAtK",
    "OptimalPolicy",
    "PolicyFlow",
    "PreferencePolicy",
    "PromptFit",
    "TrainingLog",
    "accuracy_for_kl",
    "alpha_target_accuracy",
    "best_of_n",
    "beta_for_accuracy",
    "beta_for_kl",
    "beta_for_mean",
    "conditional_entropies",
    "divergence",
    "entropy",
    "expectation",
    "fit_curve",
    "fit_prompts",
    "flow",
    "flow_curve",
    "grpo_fixed_point",
    "grpo_flow",
    "grpo_recurrence",
    "kl_spent",
    "log_partition",
    "mean_pass_at_k",
    "objective",
    "objective_weights",
    "optimal_policy",
    "pass_at_k",
    "pass_at_k_from_counts",
    "pass_at_k_interval",
    "peak_entropy_accuracy",
    "policy_flow",
    "preference_policy",
    "read_log",
    "suboptimality",
    "target_accuracy",
    "time_to_accuracy",
]
