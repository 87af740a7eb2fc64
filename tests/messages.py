"""Every message of an error that the product can raise, read out of its source; `…` stands for what varies."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import house

VARIES = "…"
BUILT_IN = {
    "ValueError",
    "TypeError",
    "RuntimeError",
    "LookupError",
    "KeyError",
    "EOFError",
    "ConnectError",
    "ReadTimeout",
}
BASES = {"Exception", "BaseException", "DecodingError", *BUILT_IN}
PLACES = {
    "Fault": 1, "Failure": 1, "_fail": 1, "_invalid": 0, "_rejected": 0, "_stop": 0, "NotStamped": 0,
    "error": 0, "print": 0,
}  # fmt: skip
"""What carries a message besides exceptions, and which argument is it; `error` is a method of a row or a parser."""
PRINTED = re.compile(r"(error|warning|failed): ?(?P<text>.+)")
"""How a line begins that is printed and is no result."""
SHELL = re.compile(
    r"""(?:\b(?:die|fail|refuse)|\b(?:echo|printf)(?=.*>&2))\s+(?:[0-9]\s+)?"((?:\$\([^()]*\)|[^"\\]|\\.)+)\""""
)
SHELL_VARIES = re.compile(r"\$\{[^{}]*\}|\$\([^()]*\)|\$\w+|\$[@*#?!$]")
SAYS_SOMETHING = re.compile(r"[a-z]{2}")
DEEPEST, MOST_WAYS = 6, 4


@dataclass(frozen=True, slots=True)
class Message:
    """One message and where it is raised."""

    text: str
    where: str


def messages() -> tuple[Message, ...]:
    """In the order of the source, each text once."""
    found: dict[str, Message] = {}
    for path in house.files():
        if path in house.modules():
            told = _of_module(house.tree(path))
        elif house.name(path).startswith(("scripts/", ".ci/")) and path.suffix in (".sh", ""):
            told = _of_shell(path.read_text("utf-8"))
        else:
            continue
        for line, text in told:
            found.setdefault(text, Message(text, f"{house.name(path)}:{line}"))
    return tuple(found.values())


def exception_names() -> frozenset[str]:
    """The exceptions of the product, and those of Python's and of packages that it raises itself."""
    bases: dict[str, set[str]] = {}  # of a name that two classes have, those of both
    for path in house.modules():
        for node in ast.walk(house.tree(path)):
            if isinstance(node, ast.ClassDef):
                bases.setdefault(node.name, set()).update(map(_last, node.bases))
    names = set(BASES)
    while more := {name for name, its in bases.items() if its & names} - names:
        names |= more
    return frozenset(names)


def _of_module(tree: ast.Module) -> Iterator[tuple[int, str]]:
    scopes = {child: scope for scope in ast.walk(tree) if _is_function(scope) for child in ast.walk(scope)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        place = _place(node, tree)
        if place is not None and len(node.args) > place:
            for text in _Reader(tree, scopes.get(node)).texts(node.args[place]):
                said = text if _last(node.func) != "print" else _behind_its_label(text)
                if SAYS_SOMETHING.search(said):
                    yield node.lineno, said


def _behind_its_label(text: str) -> str:
    """Of a printed line what stands behind `error:` or its like; nothing of any other."""
    said = PRINTED.fullmatch(text)
    return said["text"] if said else ""


def _place(call: ast.Call, tree: ast.Module) -> int | None:
    """Which argument of a call is a message; None if none is."""
    name = _last(call.func)
    if name == "__init__":
        owners = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name in EXCEPTIONS)
        return 0 if any(call in ast.walk(each) for each in owners) else None
    if name == "error" and not (isinstance(call.func, ast.Attribute) and "log" not in _last(call.func.value).lower()):
        return None
    if name == "Fault" and len(call.args) > 2:
        return 2  # of the examination of a log: kind, record, detail
    return PLACES.get(name, 0 if name in EXCEPTIONS else None)


class _Reader:
    """What an expression of one function may read as; `…` where the module alone does not tell."""

    def __init__(self, tree: ast.Module, scope: ast.AST | None, seen: frozenset[str] = frozenset()) -> None:
        self._tree, self._scope, self._seen = tree, scope, seen

    def texts(self, node: ast.AST) -> list[str]:
        found: list[str] = []
        match node:
            case ast.Constant(value=str() as text):
                found = [text]
            case ast.JoinedStr(values=values):
                found = ["".join(parts) for parts in product(*(self._part(each) for each in values))]
            case ast.IfExp(body=one, orelse=other):
                found = [*self.texts(one), *self.texts(other)]
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                found = [one + other for one, other in product(self.texts(left), self.texts(right))]
            case ast.Name(id=name) | ast.Attribute(attr=name) if self._may_look_up(name):
                found = self._assigned(name, isinstance(node, ast.Name))
            case ast.Call(func=ast.Name(id=name)) if self._may_look_up(name):
                found = self._returned(name)
        return found or [VARIES]

    def _may_look_up(self, name: str) -> bool:
        return name not in self._seen and len(self._seen) < DEEPEST

    def _part(self, node: ast.AST) -> list[str]:
        """A piece of an f-string: a choice between fixed words is told, any other value varies."""
        if isinstance(node, ast.Constant):
            return [str(node.value)]
        inner = node.value if isinstance(node, ast.FormattedValue) else node
        fixed = self.texts(inner) if isinstance(inner, ast.IfExp | ast.Name) else []
        is_choice = len(fixed) in range(2, MOST_WAYS) and not any(VARIES in each for each in fixed)
        return fixed if is_choice else [VARIES]

    def _assigned(self, name: str, is_local: bool) -> list[str]:
        """Of what a name is given in its function, else as a constant or a field of the module."""
        for place in (self._scope if is_local else None, self._tree):
            values = [
                node.value
                for node in (ast.walk(place) if place is not None else ())
                if isinstance(node, ast.Assign) and any(_last(target) == name for target in node.targets)
            ]
            inner = _Reader(self._tree, self._scope, self._seen | {name})
            if found := [text for value in values for text in inner.texts(value)]:
                return list(dict.fromkeys(found))
        return []

    def _returned(self, name: str) -> list[str]:
        made = [node for node in self._tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
        found = []
        for each in made:
            inner = _Reader(self._tree, each, self._seen | {name})
            found += [
                text
                for node in ast.walk(each)
                if isinstance(node, ast.Return) and node.value
                for text in inner.texts(node.value)
            ]
        return list(dict.fromkeys(found))


def _of_shell(source: str) -> Iterator[tuple[int, str]]:
    """What a script says on standard error: `die "…"`, `fail "…"`, `echo "…" >&2`."""
    for number, line in enumerate(source.splitlines(), 1):
        for match in SHELL.finditer(line):
            text = match[1]
            while (shorter := SHELL_VARIES.sub(VARIES, text)) != text:
                text = shorter
            yield number, _behind_its_label(text) or text


def _last(node: ast.AST) -> str:
    if isinstance(node, ast.Subscript):
        return _last(node.value)
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


EXCEPTIONS = exception_names()
