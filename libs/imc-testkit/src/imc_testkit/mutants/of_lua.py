"""Changes of Lua source, made by rules over its tokens: scripts of Redis are short and plainly written."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from imc_testkit.mutants.change import LARGE, Change

_TOKEN = re.compile(
    r"""(?P<comment>--[^\n]*)|(?P<text>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|(?P<number>\d+(?:\.\d+)?)"""
    r"""|(?P<word>[A-Za-z_][\w.]*)|(?P<sign>\.\.\.?|[<>=~]=|[-+*/%^#<>=(){}\[\];:,.])|(?P<line>\n)"""
)
_FLIPPED = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "~=", "~=": "=="}
_OPPOSITES = {"+": "-", "-": "+", "*": "/", "/": "*"}
_OTHER_CALLS = {
    **{"math.max": "math.min", "math.min": "math.max"},
    **{"math.ceil": "math.floor", "math.floor": "math.ceil"},
}
_OPENING, _CLOSING = set("({["), set(")}]")
_BEGINS_OPERAND = {"and", "or", "if", "elseif", "while", "return", "=", ","} | _OPENING
_ENDS_OPERAND = {"and", "or", "then", "do", ",", "\n"} | _CLOSING
_EFFECT = re.compile(
    r"^[ ]*(?!local\b|function\b|if\b|for\b|while\b|else|end\b|return\b|repeat\b|until\b|--)"
    r"(?P<code>(?:break|redis\.p?call\(.*\)|[A-Za-z_][\w.#\[\] +]* = [^\n{]*))$",
    re.MULTILINE,
)
_CONDITION = re.compile(r"\b(?:if|while)[ ](?P<code>[^\n]+?)[ ](?:then|do)\b")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def changes(file: str, source: str) -> list[Change]:
    """Every change that there is to make of a script, in the order of the source."""
    tokens = [
        _Token(match.lastgroup or "", match.group(), match.start(), match.end())
        for match in _TOKEN.finditer(source)
        if match.lastgroup != "comment"
    ]
    found = [*_of_tokens(file, tokens), *_of_guards(file, source, tokens), *_of_statements(file, source)]
    return sorted(set(found), key=lambda change: (change.start, change.end, change.new))


def _of_tokens(file: str, tokens: list[_Token]) -> Iterator[Change]:
    for before, token in zip([_Token("line", "\n", 0, 0), *tokens], tokens, strict=False):
        span = token.start, token.end
        is_sign = token.kind == "sign"
        if is_sign and token.text in _FLIPPED:
            kind = "negation" if token.text in ("==", "~=") else "boundary"
            yield Change(file, *span, _FLIPPED[token.text], kind)
        elif is_sign and token.text in _OPPOSITES and _ends_value(before):
            yield Change(file, *span, _OPPOSITES[token.text], "arithmetic")
        elif token.kind == "number" and before.text != "[":  # what an index names is not counted
            number = int(token.text)
            for other in (number + 1, number - 1) if number < LARGE else (number * 10,):
                if other >= 0:
                    yield Change(file, *span, str(other), "constant")
        elif token.text in _OTHER_CALLS:
            yield Change(file, *span, _OTHER_CALLS[token.text], "call")
        elif token.text == "not":
            yield Change(file, *span, "", "negation")


def _ends_value(token: _Token) -> bool:
    """Whether a sign after ``token`` stands between two values."""
    return token.kind in ("word", "number", "text") or token.text in _CLOSING


def _of_guards(file: str, source: str, tokens: list[_Token]) -> Iterator[Change]:
    """Drop the operand before, and the operand after, each `and` and `or`."""
    for at, token in enumerate(tokens):
        if token.text not in ("and", "or"):
            continue
        first, last = _operand_before(tokens, at), _operand_after(tokens, at)
        if first is not None and last is not None:
            begin, end = tokens[first].start, tokens[last].end
            yield Change(file, begin, end, source[begin : tokens[at - 1].end], "guard")
            yield Change(file, begin, end, source[tokens[at + 1].start : end], "guard")


def _operand_before(tokens: list[_Token], at: int) -> int | None:
    depth = 0
    for index in range(at - 1, -1, -1):
        text = tokens[index].text
        if depth == 0 and text in _BEGINS_OPERAND:
            return index + 1 if index + 1 < at else None
        depth += (text in _CLOSING) - (text in _OPENING)
    return None


def _operand_after(tokens: list[_Token], at: int) -> int | None:
    depth = 0
    for index in range(at + 1, len(tokens)):
        text = tokens[index].text
        if depth == 0 and text in _ENDS_OPERAND:
            return index - 1 if index - 1 > at else None
        depth += (text in _OPENING) - (text in _CLOSING)
    return len(tokens) - 1 if len(tokens) - 1 > at else None


def _of_statements(file: str, source: str) -> Iterator[Change]:
    for match in _CONDITION.finditer(source):
        if not source[: match.start()].rpartition("\n")[2].lstrip().startswith("--"):
            yield Change(file, *match.span("code"), f"not ({match['code']})", "negation")
    effects = [match for match in _EFFECT.finditer(source) if _is_balanced(match["code"])]
    for match in effects:
        yield Change(file, *match.span("code"), "", "deletion")
    for first, second in pairwise(effects):
        between = source[first.end() : second.start()]
        if between == "\n" and "redis." in first["code"] and "redis." in second["code"]:
            new = second["code"] + source[first.end("code") : second.start("code")] + first["code"]
            yield Change(file, first.start("code"), second.end("code"), new, "order")


def _is_balanced(code: str) -> bool:
    return code.count("(") == code.count(")") and code.count("{") == code.count("}")
