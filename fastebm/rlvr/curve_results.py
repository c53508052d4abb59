"""What a fit to a training log gives."""

from .._runtime.results import Result, result
from .._runtime.types import FloatArray


@result
class LawFit(Result):
    """How well one law fits its curve.

    Attributes
    ----------
    r_squared : float
        Share of the variance explained; negative if a constant would do better.
    residual_sd : float
        Root of the residual variance, in the units of the curve.
    noise_sd : float
        Noise of a single step from differences of neighbouring steps, which no smooth trend enters
        (von Neumann 1941).
    misfit : float
        Systematic deviation beyond the noise and beyond the effect of errors of the parameters, in
        the units of the curve; 0 if there is none.
    durbin_watson : float
        Of the residuals without the effect of errors of the parameters. 2 for residuals without
        memory; less: the curve deviates from the law over many consecutive steps.
    p_value : float
        One-sided, for residuals without memory, by the distribution of Durbin & Watson (1951).
        Small: the law does not fit, or the noise itself has memory.
    """

    r_squared: float
    residual_sd: float
    noise_sd: float
    misfit: float
    durbin_watson: float
    p_value: float


@result
class LawComparison(Result):
    """The two laws of the accuracy compared on one log, with the same model of the noise.

    The noise is Gaussian and autoregressive of a common order; each law has three parameters (p0,
    speed, beta), and the variance and the coefficients of its noise are estimated. So the
    difference of the AIC is that of -2 log likelihood.

    Attributes
    ----------
    aic_natural, aic_grpo : float
        Akaike's information criterion. The smaller one predicts better.
    aic_difference : float
        aic_natural - aic_grpo: positive if the GRPO law fits better.
    order : int
        Of the autoregression.
    z, p_value : float
        Test of Vuong (1989) that both laws are equally near the truth; positive z favours GRPO.
        Two-sided. It presumes laws that can be told apart: where the fitted curves nearly agree, z
        can be large for a difference of no weight.
    favoured : "natural" | "grpo" | None
        The law of the smaller AIC if the p-value is below 0.05 and the difference of the AIC is at
        least 6 (a likelihood ratio of 20). None: the log does not decide, or a fit did not
        converge.
    converged : bool
        Whether both fits did.
    """

    aic_natural: float
    aic_grpo: float
    aic_difference: float
    order: int
    z: float
    p_value: float
    favoured: str | None
    converged: bool


@result
class CurveFit(Result):
    """Parameters of a training run, with standard errors (`*_se`) that allow for residuals with
    memory.

    Attributes
    ----------
    n_steps, n_dropped : int
        Steps used, and steps left out because the accuracy was missing. A missing KL or entropy
        is left out of its own curve only.
    p0, p0_se : float
        Accuracy at step 0.
    speed, speed_se : float
        Flow time per step.
    beta, beta_se : float
        Effective KL coefficient. Within two standard errors of 0: no saturation is seen. Clearly
        negative: the law does not hold.
    target : float
        The limit of the accuracy: sigmoid(logit p0 + 1 / beta) for the natural law; 1 for
        beta <= 0.
    kl_scale, kl_scale_se : float or None
        Logged KL over kl(p, p0). No policy spends less than the latter: below 1 the log is in other
        units, or biased.
    h_correct, h_wrong, h_difference, h_difference_se : float or None
        Conditional entropies by the law (h_scale = 1), and H_correct - H_wrong. A negative entropy
        refutes the units of the log.
    peak_accuracy : float or None
        The accuracy of largest entropy by these values, sigmoid(h_difference).
    h_scale, h_scale_se : float or None
        Coefficient of the binary entropy if it is free.
    free_difference, free_difference_se : float or None
        H_correct - H_wrong, in the units of the log, if the coefficient is free.
    accuracy_law, kl_law, entropy_law, free_entropy_law : LawFit or None
        How well each law fits: `kl_law` with its scale fitted, `entropy_law` with h_scale = 1,
        `free_entropy_law` with it free.
    accuracy, kl, entropy : ndarray or None
        The fitted curves at the steps with an accuracy (entropy with h_scale = 1).
    lag : int
        Steps over which the residuals have memory, in the curve with the longest.
    converged : bool
        Whether the accuracies determine p0, speed and beta; otherwise every standard error is
        infinite.
    law : "natural" | "grpo"
        The law of the accuracy: dl/dt = 1 - beta l, or 1 / sqrt(p (1 - p)) - beta l. speed and beta
        are in the units of its flow time.
    comparison : LawComparison or None
        Of the two laws, for law="auto".
    """

    n_steps: int
    n_dropped: int
    p0: float
    p0_se: float
    speed: float
    speed_se: float
    beta: float
    beta_se: float
    target: float
    kl_scale: float | None
    kl_scale_se: float | None
    h_correct: float | None
    h_wrong: float | None
    h_difference: float | None
    h_difference_se: float | None
    peak_accuracy: float | None
    h_scale: float | None
    h_scale_se: float | None
    free_difference: float | None
    free_difference_se: float | None
    accuracy_law: LawFit
    kl_law: LawFit | None
    entropy_law: LawFit | None
    free_entropy_law: LawFit | None
    accuracy: FloatArray
    kl: FloatArray | None
    entropy: FloatArray | None
    lag: int
    converged: bool
    law: str
    comparison: LawComparison | None
