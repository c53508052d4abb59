"""Loading saved chains of every class.

A saved chain follows the internals of its class, so it is read here. `fastebm.io` reads files in
formats that other programs define.
"""

from errno import ENOMEM
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import InvalidChainError, MemoryForecastError
from ..patterns.rule import Trusted, trusted_rules
from .archive import read_chain
from .array_files import RESTORE, Verify
from .chain import MarkovChain
from .early_folder import POINTER, read_early_chain
from .saved_folder import read_pointer
from .tilt import tilted_again
from .words import words_again

# Each try but the first means that another save has ended in the meantime.
TRIES = 1000


def load(
    path: str | PathLike[str], *, verify: Verify = "auto", trust: Trusted = None
) -> MarkovChain:
    """A chain that `chain.save` wrote, with its arrays memory-mapped read-only.

    Nothing in the folder is run, and no file outside it is read. What a chain takes from its folder
    is checked: sizes, types, index ranges, and checksums against damage.

    Parameters
    ----------
    path : str or os.PathLike
        The folder.
    verify : "auto" | bool
        Whether files are read in whole and compared with their checksums. "auto": those of up to 64
        MiB; larger arrays are mapped without reading them, and verify=True checks them too. False:
        none. The checksum of chain.json itself is always checked.
    trust : str, function, or list of them, optional
        Modules whose functions may be rules of the chain, by their full names, or the functions
        themselves. The chain of a rule (`row_kernel`) is saved with the name of the rule; its
        module is imported, which runs it, only if it is listed here.

    Returns
    -------
    MarkovChain
        A `TiltedChain` or `WordChain` if one was saved.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    InvalidChainError
        The folder is not a saved chain, is damaged, or has a newer format; the text names the file.
        Or the chain has a rule that is not trusted.
    MemoryForecastError
        Vectors of its n_states do not fit.

    Examples
    --------
    >>> import tempfile, numpy as np, fastebm as fe
    >>> folder = tempfile.mkdtemp() + "/chain"
    >>> fe.MarkovChain(np.array([[0.5, 0.5], [0.2, 0.8]])).save(folder)
    >>> fe.load(folder, verify=True).n_states
    2
    """
    place = Path(path)
    if not isinstance(verify, bool) and verify != "auto":
        raise InvalidChainError(f'verify must be "auto", True or False, got {verify!r}')
    find_rule = trusted_rules(trust)
    if not place.exists():
        raise FileNotFoundError(f"no saved chain at {place}")
    if not (place / POINTER).exists():
        raise InvalidChainError(f"{place} is not a saved chain: it holds no {POINTER}")
    try:
        arrays, facts, labels = _read(place, verify)
        chain = MarkovChain._assemble(arrays, facts, labels, find_rule)
        chain = words_again(chain, arrays, facts)
        return tilted_again(chain, arrays, facts["tilts"])
    except OSError as error:
        if error.errno != ENOMEM:
            raise
        raise MemoryForecastError(
            f"{place} cannot be mapped: no address space is left; raise the limit of the process"
        ) from error
    except KeyError as error:
        raise InvalidChainError(f"{place / POINTER} has no entry {error}; {RESTORE}") from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        text = str(error)
        if not isinstance(error, InvalidChainError):
            raise InvalidChainError(f"{place} is not a saved chain: {text}") from error
        if str(place) in text:
            raise
        raise InvalidChainError(f"{place}: {text}") from error


def _read(place: Path, verify: Verify) -> tuple[dict[str, Any], dict[str, Any], list[str] | None]:
    """(arrays, facts, labels), all of the same save."""
    contents = read_pointer(place)
    if contents["format"] == 1:
        if verify is True:
            raise InvalidChainError(
                f"{place} has no checksums; load it with verify=False, and save it again"
            )
        return read_early_chain(place, contents)
    for _ in range(TRIES):
        try:
            return read_chain(place / contents["data"], contents, verify)
        except FileNotFoundError as error:
            before, contents = contents, read_pointer(place)
            if contents["data"] == before["data"]:
                gone = error.filename or error
                raise InvalidChainError(f"{gone} is gone; {RESTORE}") from None
    raise InvalidChainError(f"{place} is replaced again and again; load it later")
