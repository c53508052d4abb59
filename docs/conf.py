"""Sphinx configuration: `sphinx-build -W docs OUT`.

Neither the build nor a reader's browser loads anything from the network.
"""

import dataclasses
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import fastebm

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx
    from sphinx.config import Config
    from sphinx.environment import BuildEnvironment
    from sphinx.writers.html5 import HTML5Translator

HERE = Path(__file__).parent

project, author = "fastebm", "the fastebm authors"
project_copyright = "the fastebm authors, BSD-3-Clause"
release = version = fastebm.__version__
extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"fastebm {release}"
html_static_path = ["_static"]
html_css_files = ["fastebm.css"]
html_copy_source = False
html_math_renderer = "mathml"
pygments_style = "friendly"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
default_role = "py:obj"  # `spectral_gap` in a docstring becomes a link
add_module_names = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

# ------------------------------------------------------------------------------ the API pages

# One page for each subpackage with public names, so that every name in `fastebm.__all__` is
# documented without being listed anywhere else.


def page_of(name: str) -> str:
    """The page of a public name: the subpackage or module that defines it."""
    thing = getattr(fastebm, name)
    if inspect.ismodule(thing):
        return name
    parts = getattr(thing, "__module__", "").removeprefix("fastebm").lstrip(".").split(".")
    return parts[0] or "fastebm"


def public() -> dict[str, list[str]]:
    """The names of `fastebm.__all__` on each page, functions before classes."""
    pages: dict[str, list[str]] = {}
    for name in sorted(
        fastebm.__all__,
        key=lambda name: (page_of(name), inspect.isclass(getattr(fastebm, name)), name),
    ):
        pages.setdefault(page_of(name), []).append(name)
    return pages


def members(module: ModuleType) -> list[str]:
    """The public names of a public module, including those of its submodules."""
    own = [
        name
        for name, thing in vars(module).items()
        if getattr(thing, "__module__", "").startswith(module.__name__)
    ]
    return [name for name in getattr(module, "__all__", own) if not name.startswith("_")]


def directive(name: str, owner: ModuleType = fastebm) -> str:
    """The autodoc directive of a public function, class, exception, constant or module."""
    thing = getattr(owner, name)
    if inspect.ismodule(thing):
        return "\n".join(
            [
                f".. automodule:: fastebm.{name}\n",
                *(directive(member, thing) for member in members(thing)),
            ]
        )
    if inspect.isclass(thing):
        kind = "exception" if issubclass(thing, BaseException) else "class"
        return f".. auto{kind}:: {name}\n   :members:\n"
    return f".. auto{'function' if callable(thing) else 'data'}:: {name}\n"


def headed(title: str, text: str) -> str:
    return f"{title}\n{'=' * len(title)}\n\n{text}"


INDEX = """``import fastebm as fe``. Rows sum to one: ``P[i, j]`` is the probability of i -> j.
Times are in steps, logarithms are natural. Arguments after the first one or two are keyword-only.
``num_threads=None`` uses the CPUs available to this process, at most ``OMP_NUM_THREADS``.

{listed}

.. toctree::
   :hidden:

   {pages}
"""


def api_pages() -> dict[str, str]:
    """The text of each file of the API reference."""
    texts, listed = {}, []
    for page, names in public().items():
        body = "\n".join(directive(name) for name in names)
        if page in names and inspect.ismodule(module := getattr(fastebm, page)):
            title = f"fastebm.{page}"
            summary = (inspect.getdoc(module) or "").split("\n\n")[0].replace("\n", " ")
        else:
            title = page.replace("_", " ").capitalize() if page != "fastebm" else "More"
            body = f".. currentmodule:: fastebm\n\n{body}"
            summary = ", ".join(f":obj:`{name} <fastebm.{name}>`" for name in names)
        texts[f"{page}.rst"] = headed(title, body)
        listed.append(f":doc:`{page}`\n   {summary}")
    pages = "\n   ".join(name.removesuffix(".rst") for name in texts)
    texts["index.rst"] = headed(
        "API reference", INDEX.format(listed="\n\n".join(listed), pages=pages)
    )
    return texts


def write_api_pages(app: "Sphinx", config: "Config") -> None:
    folder = HERE / "api"
    folder.mkdir(exist_ok=True)
    texts = api_pages()
    for stale in {path.name for path in folder.iterdir()} - set(texts):
        (folder / stale).unlink()
    for name, text in texts.items():
        path = folder / name
        # Sphinx reads a page again if its file is newer, so unchanged ones are left alone.
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def check_complete(app: "Sphinx", env: "BuildEnvironment") -> None:
    """Warn about public names that no page documents; `-W` makes this an error."""
    from sphinx.util import logging

    modules = [name for name in fastebm.__all__ if inspect.ismodule(getattr(fastebm, name))]
    within = [
        f"{module}.{name}" for module in modules for name in members(getattr(fastebm, module))
    ]
    for name in {*fastebm.__all__, *within} - {
        known.removeprefix("fastebm.") for known in env.get_domain("py").objects
    }:
        logging.getLogger(__name__).warning("no page documents fastebm.%s", name)


# --------------------------------------------------------------------------------- docstrings

# Docstrings write formulas as plain text. Outside literals, reStructuredText takes parts of them
# for markup (|lambda|, P*), so these characters are escaped. Names of public classes become links.
_LITERAL = re.compile(r"(``.*?``|`[^`]+`_?)", re.DOTALL)
_MARKUP = re.compile(r"(?<!\\)(\|(?=\S)|\*(?=\S)|(?<=\w)_(?!\w))")
_PUBLIC_CLASSES = [name for name in fastebm.__all__ if inspect.isclass(getattr(fastebm, name))]
_CLASSES = re.compile(rf"\b({'|'.join(_PUBLIC_CLASSES)})\b(?!\()")


def adapt_docstring(
    app: "Sphinx", what: str, name: str, obj: object, options: Any, lines: list[str]
) -> None:
    text = "\n".join(lines)
    # Every second block is an example and stays as it is.
    blocks = re.split(r"(^[ ]*>>>.*?(?=^\s*$|\Z))", text, flags=re.MULTILINE | re.DOTALL)
    for i in range(0, len(blocks), 2):
        parts = _LITERAL.split(blocks[i])
        parts[::2] = [_CLASSES.sub(r"`\1`", _MARKUP.sub(r"\\\1", part)) for part in parts[::2]]
        blocks[i] = "".join(parts)
    lines[:] = "".join(blocks).split("\n")


def hide_result_signatures(
    app: "Sphinx", what: str, name: str, obj: object, options: Any, signature: str, returned: str
) -> tuple[str, None] | None:
    """Users do not construct results: the list of fields below the name says all."""
    return ("", None) if what == "class" and dataclasses.is_dataclass(obj) else None


# ----------------------------------------------------------------------------------- formulas


def mathml(visitor: "HTML5Translator", node: "nodes.math | nodes.math_block") -> None:
    """Write a formula as MathML, which browsers show without a script."""
    from docutils import nodes
    from docutils.utils.math.latex2mathml import tex2mathml

    block = isinstance(node, nodes.math_block)
    formula = tex2mathml(node.astext(), as_block=block)
    visitor.body.append(f'<div class="math">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def setup(app: "Sphinx") -> None:
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
    app.connect("config-inited", write_api_pages)
    app.connect("env-check-consistency", check_complete)
    app.connect("autodoc-process-docstring", adapt_docstring, priority=400)  # before numpydoc
    app.connect("autodoc-process-signature", hide_result_signatures)
