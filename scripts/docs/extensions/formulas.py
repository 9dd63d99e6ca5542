"""A Sphinx extension that renders the formulas of docstrings as MathML, which needs no script.

A first line reads "Adds normal noise: y = x + stddev·n, n ~ N(0, 1)." What follows the last colon
is the formula if it contains an equals sign. Words in it that are not names are set as text.
"""

import inspect
import re
from typing import Any

from latex2mathml.converter import convert

SYMBOLS = {
    "·": r"\cdot ",
    "⊙": r"\odot ",
    "−": "-",
    "~": r"\sim ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "Σ": r"\sum ",
    "α": r"\alpha ",
    "γ": r"\gamma ",
    "λ": r"\lambda ",
    "θ": r"\theta ",
    "′": "'",
    "²": "^{2}",
    "ᵢ": "_{i}",
    "½": r"\tfrac{1}{2}",
}
NAMES = {"keep", "rate", "scale", "stddev", "kernel", "bias", "weight", "weights", "branch"}
FUNCTIONS = {
    "exp": r"\exp ",
    "sigmoid": r"\operatorname{sigmoid}",
    "softmax": r"\operatorname{softmax}",
}
_TOKEN = re.compile(r"√\(|√|\^\(|\^-?\d+|[A-Za-z_]+|\s+|.", re.DOTALL)


def split_summary(line: str) -> tuple[str, str] | None:
    """Splits a first line into (text, formula); None if it has no formula."""
    text, colon, formula = line.rstrip(".").rpartition(": ")
    return (text, formula) if colon and "=" in formula and "``" not in formula else None


def latex(formula: str, names: frozenset[str] = frozenset()) -> str:
    """Converts a formula of a docstring to LaTeX; ``names`` are further names of variables."""
    out: list[str] = []
    closers: list[str] = []
    names = names | NAMES
    tokens = _TOKEN.findall(formula)
    for position, token in enumerate(tokens):
        if token in ("√(", "^("):
            out.append(r"\sqrt{" if token == "√(" else "^{")
            closers.append("}")
        elif token == "(":
            out.append(token)
            closers.append(token.replace("(", ")"))
        elif token == ")" and closers:
            out.append(closers.pop())
        elif token == "√":
            out.append(r"\sqrt ")
        elif token.startswith("^"):
            out.append(f"^{{{token[1:]}}}")
        elif token in FUNCTIONS:
            out.append(FUNCTIONS[token])
        elif token in "NU" and tokens[position + 1 : position + 2] == ["("]:
            out.append(rf"\mathcal{{{token}}}")
        elif len(token) > 1 and token[0].isalpha():
            out.append(_word(token, names))
        elif token == "," and not closers:
            out.append(r",\quad ")
        elif token.isspace():
            out.append(" ")
        else:
            out.append(SYMBOLS.get(token, token))
    return re.sub(r"(\\text\{ [^}]*) \} *\\text\{ ", r"\1 ", "".join(out))


def _word(word: str, names: frozenset[str] | set[str]) -> str:
    if word in names or "_" in word:
        return rf"\mathrm{{{word}}}".replace("_", r"\_")
    if word in ("dy", "dx"):
        return rf"\mathrm{{d}}{word[1]}"
    return rf"\text{{ {word} }}"


def _parameters(thing: Any) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        return frozenset()


def _prepare(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Handles the event autodoc-process-docstring: changes the lines in place.

    Escapes the star of [*batch] and the bars of |x|, which are markup in reStructuredText.
    """
    for position, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            lines[position] = re.sub(r"\*(?=\w+[,\]])|(?<!\\)\|", r"\\\g<0>", line)
    found = split_summary(lines[0]) if lines else None
    if found:
        text, formula = found
        lines[0:1] = [f"{text}:", "", ".. math::", "", f"   {latex(formula, _parameters(thing))}"]


def _visit_inline(self: Any, node: Any) -> None:
    self.body.append(convert(node.astext()))
    _skip()


def _visit_block(self: Any, node: Any) -> None:
    self.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    _skip()


def _skip() -> None:
    from docutils import nodes

    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Registers the math renderer and the docstring handler with Sphinx."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    app.connect("autodoc-process-docstring", _prepare, priority=400)  # before napoleon's
    return {"parallel_read_safe": True, "parallel_write_safe": True}
