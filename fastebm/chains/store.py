"""Saving, loading and pickling of chains: a folder of .npy files and a small JSON, memory-mapped on load."""

import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from .. import _core
from ..errors import InvalidChainError
from ..patterns.build import ROW_SUM_TOLERANCE
from ..patterns.lattice import LatticePattern
from ..patterns.pattern import Pattern
from ..patterns.rule import RulePattern
from .chain import MarkovChain, StationaryLaw
from .tilt import TiltedChain, tilt

FORMAT = 1

# Who makes a computed pattern from its recipe.
MAKERS = {"lattice": LatticePattern.from_recipe, "rule": RulePattern.from_recipe}


def _parts(chain):
    """(arrays, facts): everything that makes the chain, in names that storage and pickling share."""
    pattern = chain._pattern
    arrays = {"row": chain._row, "col": chain._col, "shift": chain._shift, "reward": chain.reward}
    facts = {"symmetric": pattern.is_symmetric, "rate": chain.rate}
    if chain._law is not None:
        arrays["log_pi"] = chain._law.log_pi
        facts["law"] = {"tol": chain._law.tol, "change": chain._law.change}
    if pattern.recipe is not None:  # computed: what makes it, not its rows
        facts["recipe"], more = pattern.recipe
    else:
        matrix = pattern.matrix
        more = {
            "indptr": matrix.indptr,
            "indices": matrix.indices,
            "values": matrix.values,
            "potential": None if pattern.is_symmetric else pattern.__dict__.get("potential"),
        }
    return {name: array for name, array in (arrays | more).items() if array is not None}, facts


def assemble(arrays, facts, labels):
    """The chain of `_parts`; arrays may be packed as `pack` does."""
    arrays = {name: _unpack_array(array) for name, array in arrays.items()}
    get = arrays.get
    recipe = facts.get("recipe")
    if recipe is not None:
        pattern = MAKERS[recipe["kind"]](recipe, arrays)
    else:
        matrix = _core.Csr(arrays["indptr"], arrays["indices"], get("values"))
        pattern = Pattern(matrix, symmetric=facts["symmetric"], potential=get("potential"))
    chain = MarkovChain._from_parts(
        pattern,
        get("row"),
        get("col"),
        get("shift"),
        labels=labels,
        reward=get("reward"),
        rate=facts["rate"],
        law=StationaryLaw(arrays["log_pi"], **facts["law"]) if "law" in facts else None,
    )
    if "log_pi" in arrays and "law" not in facts:  # a folder from before the accuracy was kept
        chain._accept_unrated_law(arrays["log_pi"])
    if (
        recipe is not None and recipe["kind"] == "rule"
    ):  # found by its name, so it may be another one by now
        error = np.abs(chain @ np.ones(chain.n_states) - 1.0)
        if error.max() > ROW_SUM_TOLERANCE:
            at = int(np.argmax(error))
            raise InvalidChainError(
                f"the rule {recipe['rule']} does not make the chain that was kept: row {at} is off by {error[at]:.3g}; restore that version of it"
            )
    return chain


def pack(chain):
    """The arguments of `assemble`; a memory-mapped array travels as its file name and place, not as its bytes."""
    arrays, facts = _parts(chain)
    return {name: _pack_array(array) for name, array in arrays.items()}, facts, chain.labels


def save(chain, path):
    """Write `chain` to the folder `path`, replacing a chain that is there; complete or not at all.

    A tilted chain is its reference (a folder inside), its reward and beta; loading it costs one product.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not (path / "chain.json").exists():
        raise InvalidChainError(f"{path} exists and is not a saved chain; choose another folder")
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        os.chmod(folder, 0o755)  # mkdtemp makes it private
        _write_tilt(chain, folder) if isinstance(chain, TiltedChain) else _write_plain(
            chain, folder
        )
        # an open memory map of the old files stays valid: they are unlinked, not overwritten
        if path.exists():
            shutil.rmtree(path)
        folder.rename(path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _write_plain(chain, folder):
    arrays, facts = _parts(chain)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    if chain.labels is not None:
        with open(folder / "labels.json", "w", encoding="utf-8") as file:
            json.dump([str(chain.labels[i]) for i in range(chain.n_states)], file)
    _write_meta(
        folder, {"kind": "chain", "n_states": chain.n_states, "arrays": sorted(arrays), **facts}
    )


def _write_tilt(chain, folder):
    save(chain.reference, folder / "reference")
    sparse = sp.issparse(chain.reward)
    if sparse:
        sp.save_npz(folder / "tilt_reward.npz", chain.reward)
    else:
        np.save(folder / "tilt_reward.npy", chain.reward)
    _write_meta(
        folder,
        {
            "kind": "tilt",
            "n_states": chain.n_states,
            "beta": repr(chain.beta),
            "sparse_reward": sparse,
        },
    )


def _write_meta(folder, facts):
    (folder / "chain.json").write_text(
        json.dumps({"format": FORMAT, **facts}, indent=1), encoding="utf-8"
    )


def load(path):
    """A chain that `chain.save` wrote, its arrays memory-mapped read-only.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    InvalidChainError
        The folder is not a saved chain, or of a newer format.

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
    try:
        meta = json.loads((path / "chain.json").read_text(encoding="utf-8"))
        if meta["format"] > FORMAT:
            raise InvalidChainError(
                f"{path} has format {meta['format']}, this version reads up to {FORMAT}; update fastebm"
            )
        if meta["kind"] == "tilt":
            reward = (
                sp.load_npz(path / "tilt_reward.npz")
                if meta["sparse_reward"]
                else np.load(path / "tilt_reward.npy")
            )
            return tilt(load(path / "reference"), reward, float(meta["beta"]))
        arrays = {
            name: np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in meta["arrays"]
        }
        _check(arrays, meta)
        labels = path / "labels.json"
        return assemble(
            arrays,
            meta,
            json.loads(labels.read_text(encoding="utf-8")) if labels.exists() else None,
        )
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, InvalidChainError):
            raise
        raise InvalidChainError(f"{path} is not a saved chain: {error}") from error


def _check(arrays, meta):
    """What a damaged folder could break badly: sizes and index ranges. Values were checked when the chain was made."""
    n_states = meta["n_states"]
    if "recipe" in meta:
        own = set(meta["recipe"].get("arrays", ()))  # checked by the maker
    else:
        own = {"indptr", "indices", "values"}
        indptr, indices = arrays["indptr"], arrays["indices"]
        if (
            indptr.shape != (n_states + 1,)
            or indptr[0] != 0
            or indptr[-1] != indices.size
            or (np.diff(indptr) < 0).any()
        ):
            raise InvalidChainError("indptr does not fit the chain; save it again")
        if indices.size and (indices.min() < 0 or indices.max() >= n_states):
            raise InvalidChainError("an index is outside the chain; save it again")
        if "values" in arrays and arrays["values"].shape != indices.shape:
            raise InvalidChainError("values and indices differ in length; save it again")
    for name in arrays.keys() - own:
        if arrays[name].shape != (n_states,):
            raise InvalidChainError(f"{name} has shape {arrays[name].shape}; save it again")


def _pack_array(array):
    # only a map that is a whole file part has a trustworthy offset; a slice of one is sent by value
    if (
        isinstance(array, np.memmap)
        and array.filename is not None
        and not isinstance(array.base, np.memmap)
        and array.mode == "r"
    ):
        return os.fspath(array.filename), array.dtype.str, array.offset, array.shape
    return np.asarray(array)


def _unpack_array(packed):
    if isinstance(packed, tuple):
        name, dtype, offset, shape = packed
        return np.memmap(name, dtype=np.dtype(dtype), mode="r", offset=offset, shape=shape)
    return packed
