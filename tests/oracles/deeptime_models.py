"""Chains of trajectories by deeptime."""


def deeptime_chain(trajectories, lag, reversible=True):
    """The maximum-likelihood chain on the largest connected set, to rounding."""
    from deeptime.markov import TransitionCountEstimator
    from deeptime.markov.msm import MaximumLikelihoodMSM

    counts = TransitionCountEstimator(lagtime=lag, count_mode="sliding").fit(trajectories)
    return (
        MaximumLikelihoodMSM(reversible=reversible, maxerr=1e-14, maxiter=10**7)
        .fit(counts.fetch_model().submodel_largest())
        .fetch_model()
    )
