"""Sphinx configuration: `sphinx-build -W docs OUT`. Nothing is fetched, neither while building nor while reading."""

import dataclasses
import inspect
import re
from pathlib import Path

import fastebm

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

# --------------------------------------------------------------------------------------------------- the API pages

# A page for each subpackage with public names, so that whatever enters `fastebm.__all__` is documented by that alone.


def page_of(name):
    """The page of a public name: its subpackage or module, the first part of where it is defined."""
    thing = getattr(fastebm, name)
    if inspect.ismodule(thing):
        return name
    parts = getattr(thing, "__module__", "").removeprefix("fastebm").lstrip(".").split(".")
    return parts[0] or "fastebm"


def public():
    """{page: names of `fastebm.__all__`}, functions before classes."""
    pages = {}
    for name in sorted(
        fastebm.__all__,
        key=lambda name: (page_of(name), inspect.isclass(getattr(fastebm, name)), name),
    ):
        pages.setdefault(page_of(name), []).append(name)
    return pages


def members(module):
    """The public names of a public module, those of its submodules included."""
    own = [
        name
        for name, thing in vars(module).items()
        if getattr(thing, "__module__", "").startswith(module.__name__)
    ]
    return [name for name in getattr(module, "__all__", own) if not name.startswith("_")]


def directive(name, owner=fastebm):
    """The autodoc directive of a public name, which tells functions, classes, exceptions and modules apart."""
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
        # what a class has from a base without a page of its own is shown with it
        bases = [base.__name__ for base in thing.__mro__[1:-1] if base.__module__ != "builtins"]
        hidden = bool(bases) and bases[0] != "Result" and bases[0] not in fastebm.__all__
        inherited = "   :inherited-members:\n" if hidden and kind == "class" else ""
        return f".. auto{kind}:: {name}\n   :members:\n{inherited}"
    return f".. auto{'function' if callable(thing) else 'data'}:: {name}\n"


def headed(title, text):
    return f"{title}\n{'=' * len(title)}\n\n{text}"


INDEX = """``import fastebm as fe``. Rows sum to one: ``P[i, j]`` is the probability of i -> j. Times are in steps, logs natural.
Arguments after the first one or two are keyword-only; ``num_threads=None`` takes the CPUs this process may use, capped by
``OMP_NUM_THREADS``.

{listed}

.. toctree::
   :hidden:

   {pages}
"""


def api_pages():
    """{file name: text} of the API reference."""
    texts, listed = {}, []
    for page, names in public().items():
        body = "\n".join(directive(name) for name in names)
        title = f"fastebm.{page}"
        if not (page in names and inspect.ismodule(getattr(fastebm, page))):
            title = page.replace("_", " ").capitalize() if page != "fastebm" else "More"
            body = f".. currentmodule:: fastebm\n\n{body}"
            told = ", ".join(f":obj:`{name} <fastebm.{name}>`" for name in names)
        else:
            told = inspect.getdoc(getattr(fastebm, page)).split("\n\n")[0].replace("\n", " ")
        texts[f"{page}.rst"] = headed(title, body)
        listed.append(f":doc:`{page}`\n   {told}")
    pages = "\n   ".join(name.removesuffix(".rst") for name in texts)
    texts["index.rst"] = headed(
        "API reference", INDEX.format(listed="\n\n".join(listed), pages=pages)
    )
    return texts


def write_api_pages(app, config):
    folder = HERE / "api"
    folder.mkdir(exist_ok=True)
    texts = api_pages()
    for stale in {path.name for path in folder.iterdir()} - set(texts):
        (folder / stale).unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:  # an unchanged page is not read again
            path.write_text(text)


def check_complete(app, env):
    """A public name that no page documents is a warning, which the build makes an error."""
    from sphinx.util import logging

    modules = [name for name in fastebm.__all__ if inspect.ismodule(getattr(fastebm, name))]
    within = [
        f"{module}.{name}" for module in modules for name in members(getattr(fastebm, module))
    ]
    for name in {*fastebm.__all__, *within} - {
        known.removeprefix("fastebm.") for known in env.get_domain("py").objects
    }:
        logging.getLogger(__name__).warning("fastebm.%s is public and stands on no page", name)


# ------------------------------------------------------------------------------------------------------ docstrings

# Docstrings write formulas as plain text, |lambda| and P*, which reStructuredText would take for markup outside of literals;
# and the names of our classes, which become links.
_LITERAL = re.compile(r"(``.*?``|`[^`]+`_?)", re.DOTALL)
_MARKUP = re.compile(r"(?<!\\)(\|(?=\S)|\*(?=\S)|(?<=\w)_(?!\w))")


_CLASSES = re.compile(
    rf"\b({'|'.join(name for name in fastebm.__all__ if inspect.isclass(getattr(fastebm, name)))})\b(?!\()"
)


def adapt_docstring(app, what, name, obj, options, lines):
    text = "\n".join(lines)
    blocks = re.split(
        r"(^[ ]*>>>.*?(?=^\s*$|\Z))", text, flags=re.MULTILINE | re.DOTALL
    )  # examples stay as they are
    for i in range(0, len(blocks), 2):
        parts = _LITERAL.split(blocks[i])
        parts[::2] = [_CLASSES.sub(r"`\1`", _MARKUP.sub(r"\\\1", part)) for part in parts[::2]]
        blocks[i] = "".join(parts)
    lines[:] = "".join(blocks).split("\n")


def hide_result_signatures(app, what, name, obj, options, signature, returned):
    """Results are read, not made: their fields stand below, with their meaning."""
    return ("", None) if what == "class" and dataclasses.is_dataclass(obj) else None


# ---------------------------------------------------------------------------------------------------------- formulas


def mathml(visitor, node):
    """A formula as MathML, which browsers show without a script."""
    from docutils import nodes
    from docutils.utils.math.latex2mathml import tex2mathml

    block = isinstance(node, nodes.math_block)
    formula = tex2mathml(node.astext(), as_block=block)
    visitor.body.append(f'<div class="math">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
    app.connect("config-inited", write_api_pages)
    app.connect("env-check-consistency", check_complete)
    app.connect("autodoc-process-docstring", adapt_docstring, priority=400)  # before numpydoc
    app.connect("autodoc-process-signature", hide_result_signatures)
