"""The result of `analyze`, as JSON, as an HTML page and in words."""

from typing import Any

from .._runtime.results import result
from .._runtime.types import Path
from .._runtime.whole_file import write_text
from .answers import PARTS, say_run
from .files import plain, write_json
from .findings import Findings


@result
class Report(Findings):
    """The results of `analyze`. A part that does not apply, or that failed, is None; `errors` gives
    the reason.

    Attributes
    ----------
    version : str
        Version of fastebm.
    versions : dict
        Versions of fastebm, python, numpy and scipy.
    seed : int or None
        The seed that repeats the run; None if the caller passed a generator.
    wall_s : float
        Seconds; `timings` has those of each part.
    parameters : dict
        tol, n_steps, n_walkers, max_steps, level, spectrum, betas.
    chain : dict
        n_states, nnz, dtype, storage, nbytes, labels, reward, lag, beta.
    states : list of str or None
        The labels of up to 1000 states, in the order of every list by state.
    score : ndarray (n_states,) or None
        Scores of the states, by default the chain's reward.
    structure : StructureResult
    stationary : StationaryResult or None
    rare : dict or None
        The states with pi below a threshold of 1e-20: threshold, n_states, mass.
    balance : BalanceResult or None
    gaps : dict str -> GapResult
        By kind. Reversible: "spectral", "absolute". Otherwise "absolute" (1 - SLEM) and "additive",
        which bounds hitting times.
    spectrum : EigenResult or None
        The leading eigenpairs on the closed class: those of largest eigenvalue if the chain is
        reversible, otherwise those of largest modulus.
    sweep : dict float -> GapResult
        By temperature beta, the gap of the tilted chain: "spectral" if it is reversible, otherwise
        "absolute".
    mixing_start : dict or None
        The most probable state: state, label, pi.
    mixing : MixingResult or None
        The mixing curve from that state; with bounds if the chain is reversible.
    solve : HittingResult or None
        Mean times to reach the superior states, solved, with the bound from the gap.
    bounds : BoundsResult or None
        Theoretical bounds of these times, each next to its value; the exit rate to 1e-3.
    slowest_start : dict or None
        The state with the largest solved mean, if it has a bound: state, label.
    sample : HittingSample or None
        The same times by Monte Carlo simulation, from starts drawn from pi.
    standard_errors : float or None
        (Monte Carlo mean - solved mean) in standard errors of the former: an absolute value above 3
        means that they disagree. None if one of the two is missing, infinite or only a lower bound.
    errors : list of dict
        part, error (class name), text: the parts without an answer.
    interrupted : str or None
        The part that Ctrl-C stopped.
    converged : bool
        Every part has an answer, and it converged: False with `errors`, after Ctrl-C, and where
        `converged` of a part is.
    timings : dict str -> float
        Seconds.
    """

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values that `json.dumps` accepts.

        Returns
        -------
        dict
            Arrays of more than 1000 entries are replaced by their min, max and n.
        """
        facts: dict[str, Any] = plain(vars(self))
        return facts

    def to_json(self, path: Path | None = None) -> str:
        """The report as JSON text.

        Parameters
        ----------
        path : str or path, optional
            A file to write the text to; it is replaced as a whole or not at all.

        Returns
        -------
        str

        Raises
        ------
        OSError
            The file cannot be written.
        """
        return write_json(self.to_dict(), path)

    def to_html(self, path: Path | None = None, *, title: str | None = None) -> str:
        """The report as one HTML page that needs no network.

        Each part is a question with its answer in words, its numbers with bounds, figures, and the
        evidence; a part without an answer shows the reason. The inputs, the versions and the JSON
        follow at the end.

        Parameters
        ----------
        path : str or path, optional
            A file to write the page to, as in `to_json`.
        title : str, optional
            The heading of the page; default: the number of states.

        Returns
        -------
        str

        Raises
        ------
        ImportError
            Jinja2 or Matplotlib is missing; the message names the remedy.
        OSError
            The file cannot be written.

        Examples
        --------
        >>> import fastebm as fe
        >>> report = fe.analyze(fe.Hypercube(3), rng=0)
        >>> report.to_html(title="the cube")[:15]  # needs the extra `plot`
        '<!DOCTYPE html>'
        """
        from .html import page

        text = page(self, title)
        if path is not None:
            write_text(text, path)
        return text

    def summary(self) -> str:
        """The report in words.

        Returns
        -------
        str
            Several lines.
        """
        return "\n".join([*(line for part in PARTS for line in part.say(self)), *say_run(self)])
