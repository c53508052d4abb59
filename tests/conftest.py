"""One Hypothesis profile: the same examples on every run and machine, and no deadline, as builds
under sanitizers are slow."""

from hypothesis import settings

settings.register_profile("fastebm", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("fastebm")
