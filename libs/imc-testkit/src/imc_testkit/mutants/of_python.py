"""Changes of Python source, made where its syntax tree says."""

import ast
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from imc_testkit.mutants.change import LARGE, Change

_FLIPPED: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
_BOUNDARIES = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_OPPOSITES: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
}
_OTHER_CALLS = {"max": "min", "min": "max", "any": "all", "all": "any", "ceil": "floor", "floor": "ceil"}
_LOGGERS = {"log", "logger"}
_LEFT_ALONE = {"annotation", "returns", "decorator_list", "bases"}
_FACTOR = 10
"""How far a constant with a name is moved: the tuning of a value is no fault, another order of size is."""


def changes(file: str, source: str) -> list[Change]:
    """Every change that there is to make of a module, in the order of the source."""
    found = _Source(file, source).changes()
    by_text = {change.apply(source): change for change in reversed(found)}
    kept = set(by_text.values())
    return [change for change in found if change in kept]


class _Source:
    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._text = text
        self._tree = ast.parse(text)
        self._starts = [0]
        for line in text.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._lines = [line.encode() for line in text.splitlines(keepends=True)]
        self._parts = [*sorted(map(self._begin, _parts(self._tree))), len(text)]
        """Where the parts of the module begin."""

    def changes(self) -> list[Change]:
        found = [
            change
            for node in _mutable(self._tree)
            for change in self._of_node(node)
            if self._compiles(change)
        ]
        return sorted(found, key=lambda change: (change.start, change.end, change.new))

    def _of_node(self, node: ast.AST) -> Iterator[Change]:
        for kind, of in _BY_TYPE.items():
            if isinstance(node, kind):
                yield from of(self, node)
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list):
                yield from self._of_order(body)  # pyright: ignore[reportUnknownArgumentType]

    def _compiles(self, change: Change) -> bool:
        """Whether the part that is changed does; the others are as they were."""
        begin = self._parts[bisect(self._parts, change.start) - 1]
        end = next(part for part in self._parts if part >= change.end)
        changed = self._text[begin : change.start] + change.new + self._text[change.end : end]
        try:
            compile(
                f"if 1:\n{changed}" if changed[0] == " " else changed, "changed", "exec", dont_inherit=True
            )
        except SyntaxError:
            return False
        return True

    def _begin(self, part: ast.stmt) -> int:
        decorators: list[ast.expr] = getattr(part, "decorator_list", [])
        return self._starts[min(each.lineno for each in (part, *decorators)) - 1]

    def _offset(self, line: int, column: int) -> int:
        return self._starts[line - 1] + len(self._lines[line - 1][:column].decode())

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self._offset(node.lineno, node.col_offset)
        return start, self._offset(node.end_lineno, node.end_col_offset)

    def _code(self, node: ast.expr | ast.stmt) -> str:
        start, end = self._span(node)
        return self._text[start:end]

    def _replaced(self, node: ast.expr | ast.stmt, new: str, kind: str) -> Change:
        return Change(self._file, *self._span(node), new, kind)

    def _between(self, left: ast.expr, right: ast.expr, old: str, new: str, kind: str) -> Iterator[Change]:
        """Change the operator between two operands."""
        begin, stop = self._span(left)[1], self._span(right)[0]
        at = self._text.find(old, begin, stop)
        if at >= 0:
            yield Change(self._file, at, at + len(old), new, kind)

    def of_comparison(self, node: ast.Compare) -> Iterator[Change]:
        for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
            old, new = _FLIPPED[type(op)]
            kind = "boundary" if isinstance(op, _BOUNDARIES) else "negation"
            yield from self._between(left, right, old, new, kind)

    def of_arithmetic(self, node: ast.BinOp) -> Iterator[Change]:
        if type(node.op) in _OPPOSITES and not any(map(_is_text, (node.left, node.right))):
            yield from self._between(node.left, node.right, *_OPPOSITES[type(node.op)], "arithmetic")

    def of_guards(self, node: ast.BoolOp) -> Iterator[Change]:
        """Drop each operand in turn."""
        for dropped in node.values:
            rest = [value for value in node.values if value is not dropped]
            word = " and " if isinstance(node.op, ast.And) else " or "
            yield self._replaced(node, f"({word.join(f'({self._code(value)})' for value in rest)})", "guard")

    def of_branch(self, node: ast.If | ast.IfExp | ast.While) -> Iterator[Change]:
        test = node.test
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            yield self._replaced(test, self._code(test.operand), "negation")
        elif not isinstance(test, ast.Constant | ast.Compare):
            yield self._replaced(test, f"not ({self._code(test)})", "negation")

    def of_constant(self, node: ast.Constant) -> Iterator[Change]:
        if isinstance(node.value, bool):
            yield self._replaced(node, str(not node.value), "constant")
        elif isinstance(node.value, float) or (isinstance(node.value, int) and node.value >= LARGE):
            yield self._replaced(node, repr(node.value * _FACTOR or 1.0), "constant")
        elif isinstance(node.value, int):
            yield self._replaced(node, str(node.value + 1), "constant")
            if node.value > 1:
                yield self._replaced(node, str(node.value - 1), "constant")

    def of_call(self, node: ast.Call) -> Iterator[Change]:
        name = node.func
        if isinstance(name, ast.Name) and name.id in _OTHER_CALLS:
            yield self._replaced(name, _OTHER_CALLS[name.id], "call")
        if isinstance(name, ast.Attribute) and name.attr in _OTHER_CALLS:
            yield self._replaced(name, f"{self._code(name.value)}.{_OTHER_CALLS[name.attr]}", "call")

    def of_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Change]:
        """Delete each statement that is there for its effect."""
        for statement in _statements(node):
            is_effect = isinstance(statement, ast.Expr | ast.AugAssign | ast.Delete)
            is_state = isinstance(statement, ast.Assign) and not any(
                isinstance(target, ast.Name) for target in statement.targets
            )
            is_jump = isinstance(statement, ast.Continue | ast.Break) or (
                isinstance(statement, ast.Return) and statement.value is None
            )
            if is_effect or is_jump or (is_state and node.name != "__init__"):
                yield self._replaced(statement, "pass", "deletion")

    def of_named_constant(self, node: ast.Module) -> Iterator[Change]:
        for statement in node.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
                value = statement.value.value
                if isinstance(value, int | float) and not isinstance(value, bool):
                    yield self._replaced(statement.value, f"{value!r} * {_FACTOR}", "bound")
                    yield self._replaced(statement.value, f"{value!r} / {_FACTOR}", "bound")

    def _of_order(self, body: Sequence[ast.stmt]) -> Iterator[Change]:
        """Swap neighbours of which the order can matter: calls, and what is around an await."""
        for first, second in pairwise(body):
            if not all(isinstance(each, ast.Expr | ast.Assign | ast.AugAssign) for each in (first, second)):
                continue
            if any(map(_is_left_alone, (first, second))) or _binds(first) & _names(second):
                continue
            calls = isinstance(first, ast.Expr) and isinstance(second, ast.Expr)
            if calls or any(isinstance(node, ast.Await) for node in (*ast.walk(first), *ast.walk(second))):
                (start, middle), (next_, end) = self._span(first), self._span(second)
                new = self._code(second) + self._text[middle:next_] + self._code(first)
                yield Change(self._file, start, end, new, "order")


_BY_TYPE: dict[type[ast.AST] | tuple[type[ast.AST], ...], Callable[[_Source, ast.AST], Iterator[Change]]] = {
    ast.Compare: _Source.of_comparison,
    ast.BinOp: _Source.of_arithmetic,
    ast.BoolOp: _Source.of_guards,
    (ast.If, ast.IfExp, ast.While): _Source.of_branch,
    ast.Constant: _Source.of_constant,
    ast.Call: _Source.of_call,
    (ast.FunctionDef, ast.AsyncFunctionDef): _Source.of_function,
    ast.Module: _Source.of_named_constant,
}  # pyright: ignore[reportAssignmentType]


def _parts(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements of a module, and those of its classes."""
    for statement in tree.body:
        yield statement
        if isinstance(statement, ast.ClassDef):
            yield from statement.body


def _mutable(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that may be changed: no annotations, heads of classes, assertions, named constants, logs."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in _LEFT_ALONE or (name == "keywords" and isinstance(node, ast.ClassDef)):
            continue
        for child in value if isinstance(value, list) else [value]:  # pyright: ignore[reportUnknownVariableType]
            if isinstance(child, ast.AST) and not _is_left_alone(child) and not _is_named(node, child):
                yield from _mutable(child)


def _is_left_alone(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert | ast.JoinedStr):
        return True
    if isinstance(node, ast.If) and not node.orelse:
        return all(map(_is_left_alone, node.body))
    if not isinstance(node, ast.Expr):
        return False
    if isinstance(node.value, ast.Constant):
        return True  # a docstring, or the dots of a protocol
    call = node.value
    is_method = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    return is_method and isinstance(call.func.value, ast.Name) and call.func.value.id in _LOGGERS  # pyright: ignore


def _is_named(parent: ast.AST, child: ast.AST) -> bool:
    return isinstance(parent, ast.Module) and isinstance(child, ast.Assign | ast.AnnAssign)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr | ast.List | ast.Tuple) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    )


def _statements(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.stmt]:
    """The statements of a function that may be deleted, without those of functions within it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if _is_left_alone(node) or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.stmt):
            yield node
        waiting += ast.iter_child_nodes(node)


def _binds(statement: ast.stmt) -> set[str]:
    """Names and attributes that a statement assigns."""
    nodes = ast.walk(statement)
    return {ast.unparse(node) for node in nodes if isinstance(getattr(node, "ctx", None), ast.Store)}


def _names(statement: ast.stmt) -> set[str]:
    return {ast.unparse(node) for node in ast.walk(statement) if isinstance(node, ast.Name | ast.Attribute)}
