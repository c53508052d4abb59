"""Opening files: decompression, and damage reported with the path and a remedy."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Any

from ..errors import InvalidChainError


def malformed(path: str, problem: object, remedy: str) -> InvalidChainError:
    """The error of a file that cannot be read."""
    return InvalidChainError(f"{path}: {problem}; {remedy}")


@contextmanager
def opened(path: str, mode: str, **options: Any) -> Iterator[IO[Any]]:
    """The open file, decompressed if it is a .gz. Damage found while reading raises
    `InvalidChainError`."""
    try:
        opener: Callable[..., IO[Any]] = gzip.open if path.lower().endswith(".gz") else open
        with opener(path, mode, **options) as file:
            yield file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise malformed(path, error, "the file is damaged: make or fetch it again") from error
    except UnicodeDecodeError as error:
        raise malformed(path, error, "save the file as UTF-8") from error


def opened_text(path: str) -> AbstractContextManager[IO[str]]:
    """The open text file, decompressed if it is a .gz."""
    return opened(path, "rt", encoding="utf-8-sig", newline="")
