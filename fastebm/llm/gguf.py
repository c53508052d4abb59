"""Loading of `.gguf` files, through llama-cpp-python."""

import logging
import re
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .._runtime.memory import forecast_memory
from ..errors import InvalidChainError
from .llama_context import awaited
from .llama_model import LlamaCppModel

INSTALL = 'pip install "fastebm[llm]"'
PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
DEFAULT_CONTEXT = 2048
# Larger models are evaluated as stored, unless the user asks for single precision.
_LARGE = 1_000_000_000


def parts_of(path: Path) -> list[Path]:
    """A large model is split into files, and llama.cpp is given the first."""
    part = PART.search(path.name)
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


def load_gguf(
    path: Path, n_ctx: int | None, num_threads: int | None, float32: bool | None
) -> LlamaCppModel:
    """The model in a file; the arguments are those of `llm.load`."""
    with open(path, "rb") as file:
        if file.read(4) != b"GGUF":
            raise InvalidChainError(f"{path} is not a .gguf file: it does not begin with GGUF")
    files = parts_of(path)
    try:
        import llama_cpp as api
    except ImportError as error:
        raise InvalidChainError(
            f"reading {path.name} needs llama-cpp-python ({error}): {INSTALL}"
        ) from None
    _quiet()
    api.llama_backend_init()
    owner = _Owner(api, files[0])
    trained = int(api.llama_model_n_ctx_train(owner.model))
    if n_ctx is None:
        n_ctx = min(DEFAULT_CONTEXT, trained)
    elif n_ctx > trained:
        raise InvalidChainError(
            f"n_ctx must be at most {trained}, the longest text that {path.name} was trained on,"
            f" got {n_ctx}"
        )
    n_parameters = int(api.llama_model_n_params(owner.model))
    if float32 is None:
        float32 = n_parameters <= _LARGE
    if float32:
        owner = _in_single_precision(api, files[0], n_parameters)
    return LlamaCppModel(
        owner.model,
        api.llama_context_default_params(),
        n_ctx=n_ctx,
        num_threads=num_threads,
        owner=owner,
        files=files,
        float32=float32,
    )


class _Owner:
    """A model of llama.cpp, freed with the last reference to it."""

    model: Any = None

    def __init__(self, api: Any, path: Path, *, mapped: bool = True) -> None:
        self._free = api.llama_model_free
        parameters = api.llama_model_default_params()
        parameters.n_gpu_layers = 0
        if not mapped:
            parameters.load_mode = api.LLAMA_LOAD_MODE_NONE
        self.model = _aside(api.llama_model_load_from_file, str(path).encode(), parameters)
        if self.model is None:
            raise InvalidChainError(f"{path} is damaged, or of a kind that llama.cpp does not know")

    def __del__(self) -> None:
        if self.model is not None:
            self._free(self.model)


def _in_single_precision(api: Any, path: Path, n_parameters: int) -> _Owner:
    """The model with its weights as float32. llama.cpp converts from file to file."""
    forecast_memory(
        4 * n_parameters, f"the weights of {path.name} as float32", "load with float32=False"
    )
    parameters = api.llama_model_quantize_default_params()
    parameters.ftype = api.LLAMA_FTYPE_ALL_F32
    parameters.allow_requantize = True
    with tempfile.TemporaryDirectory(prefix="fastebm-", ignore_cleanup_errors=True) as folder:
        converted = Path(folder) / "float32.gguf"
        names = str(path).encode(), str(converted).encode()
        if _aside(api.llama_model_quantize, *names, parameters):
            raise InvalidChainError(
                f"{path.name} could not be converted to float32 in {folder} ({4 * n_parameters:,}"
                " bytes); set TMPDIR to a folder with more room, or load with float32=False"
            )
        return _Owner(api, converted, mapped=False)


def _aside(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of llama.cpp that takes seconds in a thread, so that Ctrl-C is seen."""
    worker = ThreadPoolExecutor(1)
    try:
        return awaited(worker.submit(function, *arguments))
    finally:
        worker.shutdown(wait=False)


def _quiet() -> None:
    """Errors only, unless the user chose a level for the log of llama-cpp-python."""
    logger = logging.getLogger("llama-cpp-python")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.ERROR)
