"""File formats of chains."""

from .files import read

__all__ = ["read"]
