"""Figures of results: each function draws on one Matplotlib Axes and returns it; Matplotlib is imported only when one is called.

Colours are those of Okabe & Ito (2008), told apart with every kind of colour vision; line styles and markers differ too, so that
nothing is lost in grey. Areas and clouds use cividis, whose lightness is monotone. What an axis cannot show (an infinite time, a
zero on a logarithmic axis) is left out and counted in the upper right corner.
"""

import numpy as np

from . import _validate, rlvr
from .errors import InvalidChainError
from .hitting import certificate

# Okabe & Ito without yellow, which is too light on paper; each colour with a line style and a marker of its own.
STYLES = (
    ("#0072B2", "-", "o"), ("#D55E00", "--", "s"), ("#009E73", "-.", "^"), ("#CC79A7", ":", "D"),
    ("#000000", (0, (5, 1, 1, 1)), "v"), ("#E69F00", (0, (3, 1, 1, 1, 1, 1)), "P"), ("#56B4E9", (0, (8, 2)), "X"),
)
BLUE, VERMILION, GREEN = (style[0] for style in STYLES[:3])
GREY = "#595959"  # of bounds and guides: contrast 7 on white
COLORS = "cividis"
MAX_POINTS = 2_000  # of a line or a cloud: more cannot be told apart on a page, and would make it heavy
MAX_LEGEND = 8
# A bar that reaches zero ends at this share of its value on a logarithmic axis.
OPEN = 0.5
ROUNDING = 64 * np.finfo(float).eps
DISTANCES = {"tv": "total variation distance to π", "kl": "KL(μ_t ‖ π) (nats)", "chi2": "chi-square of μ_t to π"}


def spectrum(eigen, *, gap=None, ax=None):
    """Leading eigenvalues: the rates 1 - λ on a logarithmic axis where all are real, else the complex plane.

    Parameters
    ----------
    eigen : EigenResult or array_like (k,)
        Eigenvalues, best first. Real ones of an `EigenResult` carry their residuals as bars: of a reversible chain each exact
        value lies within. The first, 1, has no rate and is not drawn.
    gap : GapResult, optional
        Drawn with its enclosure: a band of rates or, in the complex plane, the circle of radius 1 - gap_lower (of kind
        "absolute" no eigenvalue but 1 lies outside).
    ax : matplotlib.axes.Axes, optional
        Default: of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        Matplotlib is missing.

    Examples
    --------
    >>> import fastebm as fe
    >>> walk = fe.Hypercube(6)
    >>> ax = fe.plot.spectrum(fe.eigenpairs(walk, 4, rng=0), gap=fe.spectral_gap(walk))
    >>> ax.get_ylabel(), ax.get_yscale(), ax.get_title("right")
    ('rate 1 - λ (per step)', 'log', 'not drawn: 1 with zero rate')
    """
    ax = _axes(ax)
    values = np.atleast_1d(np.asarray(getattr(eigen, "eigenvalues", eigen)))
    if values.ndim != 1 or values.dtype.kind not in "biufc" or values.size == 0:
        raise InvalidChainError(f"eigen must be an EigenResult or eigenvalues of shape (k,), got {values.dtype} {values.shape}")
    if np.iscomplexobj(values):
        return _complex_plane(ax, values, gap)
    rates = np.array(getattr(eigen, "rates", 1.0 - values), dtype=float)
    rates[0] = 0.0 if abs(rates[0]) <= ROUNDING else rates[0]
    residuals = getattr(eigen, "residuals", np.zeros(len(rates)))
    ax.set_yscale("log")
    if gap is not None:
        if gap.gap > 0.0:
            ax.axhspan(max(gap.gap_lower, OPEN * gap.gap), gap.gap_upper, color=VERMILION, alpha=0.25, lw=0)
            ax.axhline(gap.gap, color=VERMILION, ls="--", label=f"{gap.kind} gap, {_known(gap)}")
        _drawable(ax, "gap", [gap.gap], log=True)
    number = np.arange(1, len(rates) + 1)
    _bars(ax, number, rates, rates - residuals, rates + residuals, "rate", STYLES[0], "1 - λ_k, bar: residual", line=False)
    ax.xaxis.get_major_locator().set_params(integer=True)
    return _finish(ax, "number k of the eigenvalue", "rate 1 - λ (per step)")


def _complex_plane(ax, values, gap):
    keep = _drawable(ax, "eigenvalue", np.abs(values))
    angle = np.linspace(0.0, 2.0 * np.pi, 721)
    ax.plot(np.cos(angle), np.sin(angle), color=GREY, lw=1, label="|λ| = 1")
    ax.axhline(0.0, color=GREY, lw=0.5)
    ax.axvline(0.0, color=GREY, lw=0.5)
    if gap is not None:
        radius = 1.0 - gap.gap_lower
        label = f"1 - {gap.kind} gap = {radius:.4g} ({gap.lower_kind})"
        ax.plot(radius * np.cos(angle), radius * np.sin(angle), color=VERMILION, ls="--", label=label)
    ax.plot(values[keep].real, values[keep].imag, "o", color=BLUE, ms=5, label="λ_k")
    ax.set_aspect("equal")
    return _finish(ax, "Re λ", "Im λ")


def mixing(curve, *, distance="tv", labels=None, ax=None):
    """Distance from the stationary law, step by step, with the bound from the gap where there is one.

    Parameters
    ----------
    curve : MixingResult or array_like (n_steps + 1,) or (n_starts, n_steps + 1)
    distance : {"tv", "kl", "chi2"}
        Which one; for an array it only names the axis.
    labels : sequence of str (n_starts,), optional
        Names of the starts.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidChainError
        The result does not hold this distance, or a label is missing.

    Examples
    --------
    >>> import fastebm as fe
    >>> curve = fe.mixing_curve(fe.Hypercube(4), 0, 20)
    >>> fe.plot.mixing(curve, distance="kl", labels=["a corner"]).get_ylabel()
    'KL(μ_t ‖ π) (nats)'
    """
    _validate.choice(distance, "distance", tuple(DISTANCES))
    values = getattr(curve, distance, None) if hasattr(curve, "kl_is_monotone") else curve
    if values is None:
        raise InvalidChainError(f'this result holds no {distance}; pass distances="{distance}" to mixing_curve')
    values = np.atleast_2d(_validate.real_array(values, "curve"))
    if labels is not None and len(labels) != len(values):
        raise InvalidChainError(f"{len(labels)} labels for {len(values)} starts; give one each")
    ax = _axes(ax)
    ax.set_yscale("log")
    steps = np.asarray(getattr(curve, "steps", np.arange(values.shape[1])))
    shown = _thin(len(steps))
    bounds = getattr(curve, "bounds", {}).get(distance)
    for i, row in enumerate(values):
        color, style, _ = STYLES[i % len(STYLES)]
        name = labels[i] if labels is not None else ("exact" if len(values) == 1 else f"start {i}")
        if bounds is not None:
            label = "upper bound from the gap" if i == 0 else None
            ax.plot(steps[shown], _shown(bounds[i][shown]), color=GREY, ls=":", lw=1.5, label=label)
        ax.plot(steps[shown], _shown(row[shown]), color=color, ls=style, label=_text(name) if i < MAX_LEGEND else None)
    _drawable(ax, "distance", values, log=True)
    return _finish(ax, "steps t", DISTANCES[distance])


def survival(sample, *, bounds=None, label=None, ax=None):
    """P(τ > t): the probability that the target has not been reached after t steps, with its 95 % band.

    Parameters
    ----------
    sample : HittingSample, Survival or DistributionResult, or (times, probability)
        A sample carries a band; a `DistributionResult` is exact and draws a curve for each start.
    bounds : BoundsResult, optional
        Of the same target, with starts drawn from π: adds ``π(B) λ_B^t >= P_π(τ > t)``, λ_B at its upper end, where the chain is
        reversible (Aldous & Fill, ch. 3: the law of τ from π is a mixture of geometric ones, of which λ_B is the slowest).
    label : str, optional
    ax : matplotlib.axes.Axes, optional
        Several calls on one Axes compare samples.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import fastebm as fe
    >>> sample = fe.simulate_hitting_times(fe.Hypercube(4), [15], n_walkers=200, rng=0)
    >>> fe.plot.survival(sample).get_xlabel()
    'steps t'
    """
    ax = _axes(ax)
    curve = getattr(sample, "survival", sample)
    if hasattr(sample, "steps"):  # a DistributionResult
        times, rows, name = sample.steps, np.atleast_2d(curve), "exact"
    else:
        times, probability = (curve.times, curve.probability) if hasattr(curve, "times") else curve
        rows = np.atleast_2d(_validate.real_array(probability, "probability"))
        name = "simulated" if hasattr(curve, "times") else None
    times = _validate.real_array(times, "times")
    if rows.shape[-1] != len(times):
        raise InvalidChainError(f"{len(times)} times for {rows.shape[-1]} probabilities; give as many")
    ax.set_yscale("log")
    shown = _thin(len(times))
    for i, row in enumerate(rows):
        color, style, _ = STYLES[len(ax.lines) % len(STYLES)]
        text = (label or name) if len(rows) == 1 else f"{label or name}, start {i}"
        positive = row[row > 0.0]
        if hasattr(curve, "lower") and positive.size:
            low = np.maximum(curve.lower[shown], OPEN * positive.min())
            high = np.maximum(curve.upper[shown], low)
            ax.fill_between(times[shown], low, high, step="post", color=color, alpha=0.2, lw=0, label="95 % band of the curve")
        text = _text(text) if text and i < MAX_LEGEND else None
        ax.step(times[shown], _shown(row[shown]), where="post", color=color, ls=style, label=text)
    if bounds is not None and bounds.exit_rate_bound is not None and len(times):
        t = np.unique(np.linspace(0.0, times[-1], MAX_POINTS).astype(np.int64))  # between two steps it is that of the first
        bound = (1.0 - bounds.target_mass) * (1.0 - bounds.exit_rate_lower) ** t
        ax.step(t, _shown(bound), where="post", color=GREY, ls=":", lw=1.5, label="upper bound π(B) λ_B^t")
    _drawable(ax, "probability", rows, log=True)
    censored = getattr(sample, "n_censored", 0)
    if censored:
        _note(ax, f"{censored:,} walkers stopped at the limit")
    return _finish(ax, "steps t", "P(τ > t)")


def landscape(law, value=None, *, level=None, floor=0.0, value_label="value", ax=None):
    """Stationary mass of the states against a value of each: the energy landscape, low energy -log π on top.

    Parameters
    ----------
    law : StationaryResult, BalanceResult or array_like (n_states,)
        The stationary law. Of a result it is used in logarithms, so that masses below 1e-308 keep their place.
    value : array_like (n_states,), optional
        A score, a potential, hitting times. None: the rank of the state, the most probable first, on a logarithmic axis.
    level : float, optional
        Marked by a line: from here on states are superior.
    floor : float
        States of smaller mass are counted, not drawn: one that no run ever sees (1e-104) would press all others into a line.
    value_label : str
        Name and unit of the value.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        Above 2000 states a cloud, coloured by the number of states.

    Examples
    --------
    >>> import fastebm as fe
    >>> ax = fe.plot.landscape([0.5, 0.5, 0.0], [1.0, float("inf"), 2.0], value_label="time (steps)")
    >>> ax.get_title("right")
    'not drawn: 1 with zero stationary mass, 1 with infinite time'
    """
    log_pi = _log_law(law)
    ax = _axes(ax)
    height = log_pi / np.log(10.0)
    keep = _drawable(ax, "stationary mass", height, minus="zero")
    if floor > 0.0:
        below = keep & (height < np.log10(floor))
        keep &= ~below
        if below.any():
            _note(ax, f"{np.count_nonzero(below):,} below {floor:g}")
    if value is None:
        order = np.sort(height[keep])[::-1]
        rank = np.unique(np.geomspace(1, max(len(order), 1), MAX_POINTS).astype(int))[: len(order)]
        ax.set_xscale("log")
        ax.plot(rank, order[rank - 1], color=BLUE, marker="o" if len(order) < 50 else "", ms=4)
        value_label = "rank of the state by stationary mass"
    else:
        value = np.asarray(value, dtype=float)
        if value.shape != height.shape:
            raise InvalidChainError(f"value must have shape {height.shape}, one number a state, got {value.shape}")
        keep &= _drawable(ax, value_label.partition(" (")[0], value)
        _cloud(ax, value[keep], height[keep])
        if level is not None:
            ax.axvline(level, color=VERMILION, ls="--", label=f"level {level:g}")
    if keep.any() and np.ptp(height[keep]) > 3.0:
        ax.yaxis.get_major_locator().set_params(integer=True)
    ax.yaxis.set_major_formatter(lambda v, _: f"$10^{{{v:.0f}}}$" if v == round(v) else f"{10.0 ** v:.2g}")
    return _finish(ax, _text(value_label), "stationary mass π(x)")


def embedding(eigen, *, color=None, color_label="value", which=(1, 2), ax=None):
    """The states in the plane of two right eigenvectors: metastable sets are its corners (Deuflhard & Weber 2005).

    Parameters
    ----------
    eigen : EigenResult or array_like (n_states, k)
        Right eigenvectors as columns. Of a complex one the real part is used; of a conjugate pair, real and imaginary part.
        They grow like 1 / sqrt(pi) where pi is tiny: where few states stand out, draw the rows of the likelier ones,
        ``eigen.right[pi > 1e-12]``.
    color : array_like (n_states,), optional
        A potential -log π, a score.
    color_label : str
        Its name and unit.
    which : pair of int
        The columns; 0 is the constant vector.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidChainError
        A column that is not there, or a colour that is not one number a state.

    Examples
    --------
    >>> import fastebm as fe
    >>> walk = fe.Torus((5, 7), holding=0.2)
    >>> fe.plot.embedding(fe.eigenpairs(walk, 3, rng=0)).get_xlabel()
    'right eigenvector 2'
    """
    vectors = np.asarray(getattr(eigen, "right", eigen))
    first, second = (_validate.count(column, "which", 0) for column in which)
    if vectors.ndim != 2 or max(first, second) >= vectors.shape[1]:
        raise InvalidChainError(
            f"columns {first} and {second} of eigenvectors of shape {vectors.shape}; ask eigenpairs for a larger k")
    a, b = vectors[:, first], vectors[:, second]
    is_pair = np.iscomplexobj(vectors) and np.allclose(a, b.conj())
    x, y = a.real, a.imag if is_pair else b.real
    if color is not None:
        color = np.asarray(color, dtype=float)
        if color.shape != x.shape:
            raise InvalidChainError(f"color must have shape {x.shape}, one number a state, got {color.shape}")
    ax = _axes(ax)
    keep = _drawable(ax, "coordinate", x) & _drawable(ax, "coordinate", y)
    if color is not None:
        keep &= _drawable(ax, color_label.partition(" (")[0], color)
    _cloud(ax, x[keep], y[keep], None if color is None else color[keep], color_label)
    if is_pair:
        return _finish(ax, f"Re right eigenvector {first + 1}", f"Im right eigenvector {first + 1}")
    return _finish(ax, f"right eigenvector {first + 1}", f"right eigenvector {second + 1}")


def hitting(level, *, solved=None, sampled=None, bound=None, ax=None):
    """Mean hitting time against the level of the superior states: simulated, solved, and bounded by the gap.

    Parameters
    ----------
    level : array_like (k,)
    solved : sequence of HittingResult (k,) or array_like (k,), optional
        Means from π, with their certificate as bars.
    sampled : sequence of HittingSample (k,) or array_like (k,), optional
        With 95 % intervals; an arrow upwards marks a lower bound (walkers stopped at their limit).
    bound : array_like (k,), optional
        Default: `bound_from_gap` of the solved results.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> walk, levels = fe.Hypercube(5), [4.0, 5.0]
    >>> score = np.array([bin(state).count("1") for state in range(32)])
    >>> targets = [fe.superior_states(score, level) for level in levels]
    >>> solved = [fe.hitting_times(walk, target, gap=0.2) for target in targets]
    >>> sampled = [fe.simulate_hitting_times(walk, target, n_walkers=500, rng=0) for target in targets]
    >>> fe.plot.hitting(levels, solved=solved, sampled=sampled).get_ylabel()
    'mean hitting time from π (steps)'
    """
    level = np.atleast_1d(_validate.real_array(level, "level"))
    if solved is None and sampled is None and bound is None:
        raise InvalidChainError("nothing to draw; give solved=, sampled= or bound=")
    for name, given in (("solved", solved), ("sampled", sampled), ("bound", bound)):
        if given is not None and len(given) != len(level):
            raise InvalidChainError(f"{len(given)} entries of {name} for {len(level)} levels; give as many")
    ax = _axes(ax)
    ax.set_yscale("log")
    if bound is None and solved is not None:
        bound = [np.nan if (b := getattr(item, "bound_from_gap", None)) is None else b for item in solved]
        bound = None if np.isnan(bound).all() else bound
    if bound is not None:
        bound = np.asarray(bound, dtype=float)
        _bars(ax, level, bound, bound, bound, "bound", (GREY, ":", "_"), "upper bound from the gap")
    if solved is not None:
        mean = np.array([getattr(item, "mean_from_pi", item) for item in solved], dtype=float)
        error = np.array([certificate(item) if hasattr(item, "lower") else 0.0 for item in solved])
        _bars(ax, level, mean, mean * (1.0 - error), mean * (1.0 + error), "solved mean", STYLES[0], "solved, with certificate")
    if sampled is not None:
        mean = np.array([getattr(item, "mean", item) for item in sampled], dtype=float)
        intervals = [getattr(item, "ci", (value, value)) for item, value in zip(sampled, mean)]
        low, high = np.array(intervals, dtype=float).reshape(-1, 2).T
        _bars(ax, level, mean, low, high, "simulated mean", STYLES[1], "simulated, 95 % interval", line=False)
    return _finish(ax, "level of the score", "mean hitting time from π (steps)")


def arrhenius(beta, gap, *, ax=None):
    """Gap against inverse temperature, log gap over 1/β: a straight line is a barrier, of the height of minus its slope.

    Parameters
    ----------
    beta : array_like (k,)
        KL coefficients, the temperatures of the tilt; inf, the reference itself, stands at 0.
    gap : sequence of GapResult (k,) or array_like (k,)
        Results carry their two ends as bars, an arrow downwards where there is no lower one.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidChainError
        A beta that is not positive, or not one gap each.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 4], symmetric=True)
    >>> betas = [float("inf"), 1.0, 0.5, 0.25]
    >>> gaps = [fe.spectral_gap(fe.tilt(walk, np.array([1.0, 0, -1, 0, 1.0]), beta)) for beta in betas]
    >>> fe.plot.arrhenius(betas, gaps).get_xlabel()
    '1/β (per unit of reward)'
    """
    beta = np.atleast_1d(_validate.real_array(beta, "beta")).astype(float)
    if len(beta) != len(gap):
        raise InvalidChainError(f"{len(gap)} gaps for {len(beta)} values of beta; give as many")
    if not (beta > 0.0).all():
        at = int(np.argmin(beta > 0.0))
        raise InvalidChainError(f"beta[{at}] = {beta[at]}: a temperature is positive; inf is the reference")
    ax = _axes(ax)
    ax.set_yscale("log")
    order = np.argsort(1.0 / beta, kind="stable")
    ends = [(g.gap, g.gap_lower, g.gap_upper) if hasattr(g, "gap") else (g, g, g) for g in gap]
    value, low, high = np.array(ends, dtype=float).reshape(-1, 3)[order].T
    _bars(ax, 1.0 / beta[order], value, low, high, "gap", STYLES[0], None)
    kinds = {getattr(g, "kind", "spectral") for g in gap}
    return _finish(ax, "1/β (per unit of reward)", f"{' or '.join(sorted(kinds))} gap (per step)")


def entropy_accuracy(p0, h_correct, h_wrong, *, beta=None, ax=None):
    """The entropy-accuracy plane of verifiable rewards: the curve H(p) along which tuning moves, its start, peak and targets.

    Parameters
    ----------
    p0 : float
        Accuracy of the reference policy.
    h_correct, h_wrong : float
        Entropies of the reference policy given a correct and given a wrong answer, in nats.
    beta : array_like, optional
        KL coefficients whose optimal policies are marked.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        An argument outside its domain (see `fastebm.rlvr`).

    Examples
    --------
    >>> import fastebm as fe
    >>> fe.plot.entropy_accuracy(0.2, 1.0, 3.0, beta=[0.5, 1.0]).get_ylabel()
    'entropy H (nats)'
    """
    start = rlvr.entropy(p0, p0, h_correct, h_wrong)
    peak = rlvr.peak_entropy_accuracy(h_correct, h_wrong)
    targets = None if beta is None else np.atleast_1d(rlvr.target_accuracy(p0, beta))
    ax = _axes(ax)
    p = np.linspace(0.0, 1.0, 501)
    H = rlvr.entropy(p, p0, h_correct, h_wrong)
    keep = _drawable(ax, "entropy", H)
    ax.plot(p[keep & (p <= p0)], H[keep & (p <= p0)], color=GREY, ls=":", label="less accurate than the reference")
    ahead = keep & (p >= p0)
    ax.plot(np.r_[p0, p[ahead]], np.r_[start, H[ahead]], color=BLUE, label="reached by tuning")
    if 0.0 < p0 < 1.0:
        ax.plot(peak, rlvr.entropy(peak, p0, h_correct, h_wrong), "*", color=VERMILION, ms=12, label=f"peak, p = {peak:.3g}")
    ax.plot(p0, start, "o", color="black", label=f"reference, p0 = {p0:.3g}")
    if targets is not None:
        height = rlvr.entropy(targets, p0, h_correct, h_wrong)
        ax.plot(targets, height, "^", color=GREEN, ms=7, label="optimum at β")
        for b, at in zip(np.atleast_1d(beta), zip(targets, height)):
            ax.annotate(f"{b:g}", at, xytext=(5, 5), textcoords="offset points", fontsize="small")
    return _finish(ax, "accuracy p", "entropy H (nats)")


def _axes(ax):
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('figures need the package matplotlib: pip install "fastebm[plot]"') from error
    return plt.subplots(layout="constrained")[1]


def _finish(ax, xlabel, ylabel):
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize="small", framealpha=0.85)
    return ax


def _text(text):
    """A user's text as it stands: a dollar sign starts no formula."""
    return str(text).replace("$", r"\$")


def _known(gap):
    ends = [f"{kind} {end} end" for end, kind in (("lower", gap.lower_kind), ("upper", gap.upper_kind)) if kind != "none"]
    return f"both ends {gap.lower_kind}" if gap.lower_kind == gap.upper_kind else ", ".join(ends)


def _log_law(law):
    """log pi of a result or of an array of probabilities."""
    if hasattr(law, "log_pi"):
        return np.asarray(law.log_pi)
    if hasattr(law, "potential"):
        return -np.asarray(law.potential)
    pi = _validate.real_array(law, "law")
    if pi.ndim != 1 or pi.size == 0 or not (pi >= 0.0).all():
        raise InvalidChainError(f"law must hold one probability a state, not negative, shape (n_states,); got shape {pi.shape}")
    with np.errstate(divide="ignore"):
        return np.log(pi, dtype=float)


def _note(ax, text):
    """What the axis does not show, collected in the corner."""
    before = ax.get_title("right")
    ax.set_title(f"{before}; {text}" if before else text, loc="right", fontsize="small", style="italic")


def _drawable(ax, name, values, *, log=False, minus="-infinite"):
    """Which values the axis can show; how many it cannot, and why, is said on it."""
    values = np.asarray(values)
    left_out = {"nan": np.isnan(values), "infinite": values == np.inf, minus: values == -np.inf}
    if log:
        left_out |= {"zero": values == 0.0, "negative": np.isfinite(values) & (values < 0.0)}
    said = [f"{n:,} with {word} {_text(name)}" for word, mask in left_out.items() if (n := int(np.count_nonzero(mask)))]
    before = ax.get_title("right")
    if said:
        text = ", ".join(said)
        if before.rpartition("; ")[2].startswith("not drawn"):
            ax.set_title(f"{before}, {text}", loc="right", fontsize="small", style="italic")
        else:
            _note(ax, f"not drawn: {text}")
    return ~np.logical_or.reduce(list(left_out.values()))


def _shown(values):
    """The values of a line on a logarithmic axis, with gaps where there is nothing to draw."""
    return np.where(np.isfinite(values) & (values > 0.0), values, np.nan)


def _thin(n):
    """At most MAX_POINTS of n indices, evenly, with both ends."""
    return np.arange(n) if n <= MAX_POINTS else np.linspace(0, n - 1, MAX_POINTS).astype(int)


def _cloud(ax, x, y, color=None, color_label=None):
    """Points, or where they would hide each other hexagons coloured by how many they are (with `color`: by its mean)."""
    if len(x) > MAX_POINTS:
        bins = "log" if color is None else None
        drawn = ax.hexbin(x, y, C=color, gridsize=50, mincnt=1, bins=bins, cmap=COLORS, rasterized=True)
        color_label = "states" if color is None else color_label
    else:
        colors = {"color": BLUE} if color is None else {"c": color, "cmap": COLORS}
        drawn = ax.scatter(x, y, s=16, alpha=0.8, lw=0, rasterized=len(x) > 500, **colors)
    if color_label is not None and len(x):
        ax.figure.colorbar(drawn, ax=ax, label=_text(color_label))


def _bars(ax, x, value, low, high, name, style, label, *, line=True):
    """Values with their two ends on a logarithmic axis; an end at zero or at infinity becomes an arrow."""
    keep = _drawable(ax, name, value, log=True)
    x, value, low, high = x[keep], value[keep], low[keep], high[keep]
    no_low, no_high = low <= 0.0, ~np.isfinite(high)
    below = np.where(no_low, (1.0 - OPEN) * value, np.maximum(value - low, 0.0))
    above = np.where(no_high, value, np.maximum(np.where(no_high, value, high) - value, 0.0))
    color, dashes, marker = style
    ax.errorbar(x, value, [below, above], uplims=no_low & ~no_high, lolims=no_high & ~no_low, color=color,
                ls=dashes if line else "", marker=marker, ms=5, capsize=3, label=label)
