"""Loading saved chains of every class.

A saved chain follows the internals of its class, so it is read here. `fastebm.io` reads files in
formats that other programs define.
"""

import zipfile
from os import PathLike
from pathlib import Path

from ..errors import InvalidChainError
from .archive import read_arrays, read_facts, read_labels
from .chain import MarkovChain
from .tilt import TiltedChain


def load(path: str | PathLike[str]) -> MarkovChain:
    """A chain that `chain.save` wrote, with its arrays memory-mapped read-only.

    Parameters
    ----------
    path : str or os.PathLike
        The folder.

    Returns
    -------
    MarkovChain
        A `TiltedChain` if one was saved.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    InvalidChainError
        The folder is not a saved chain, or has a newer format.

    Examples
    --------
    >>> import tempfile, numpy as np, fastebm as fe
    >>> folder = tempfile.mkdtemp() + "/chain"
    >>> fe.MarkovChain(np.array([[0.5, 0.5], [0.2, 0.8]])).save(folder)
    >>> fe.load(folder).n_states
    2
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no saved chain at {path}")
    if not (path / "chain.json").is_file():
        raise InvalidChainError(f"{path} is not a saved chain: it holds no chain.json")
    try:
        facts = read_facts(path)
        if facts["kind"] == "tilt":
            return TiltedChain._read(path, facts, load)
        return MarkovChain._assemble(read_arrays(path, facts), facts, read_labels(path))
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, InvalidChainError):
            raise
        raise InvalidChainError(f"{path} is not a saved chain: {error}") from error
