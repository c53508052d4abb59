"""Ctrl-C at a chosen place."""


class StopAfter:
    """A callback that raises KeyboardInterrupt at its n-th call."""

    def __init__(self, n):
        self.left = n

    def __call__(self, info):
        assert info["wall_s"] >= 0
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
