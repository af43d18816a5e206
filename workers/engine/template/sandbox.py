"""Jinja as transformers sets it up for chat templates, except for today's date.

`Marking` is the same sandbox with its eyes bound: messages are given to the template as marks that
nobody can guess, whatever would look into one looks at the real text instead, and what was seen is
written down. So a rendering says where each text of a user's stands, and for which other texts the
template would write the same around them.
"""

import functools
import json
import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import BuiltinMethodType
from typing import Any, NoReturn

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from markupsafe import Markup

from workers.engine.template.marks import Marks

# `strftime_now` in a template: a row must encode alike on every day, so "now" is always this.
TEMPLATE_DATE = datetime(2024, 7, 26, tzinfo=UTC)

# They look at what kind of thing a value is, never at what a text says.
_TYPE_TESTS = frozenset(
    {"boolean", "callable", "defined", "false", "filter", "float", "integer", "iterable"}
    | {"mapping", "none", "number", "sequence", "string", "test", "true", "undefined"}
)
# They move a list's items or a mapping's values, and never look at them.
_STRUCTURAL_FILTERS = frozenset(
    {"attr", "batch", "count", "first", "items", "join", "last", "length", "list", "map"}
    | {"reject", "rejectattr", "select", "selectattr", "slice", "string"}
)
# Fewer arguments than these, the context among them, and they go by whether an item is true.
_WITH_A_TEST = {"select": 3, "reject": 3, "selectattr": 4, "rejectattr": 4}
_STRIPS = frozenset({"strip", "lstrip", "rstrip"})
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gteq": operator.ge,
    "lt": operator.lt,
    "lteq": operator.le,
    "in": lambda left, right: left in right,
    "notin": lambda left, right: left not in right,
}


class Sandbox(ImmutableSandboxedEnvironment):
    """Renders plainly."""

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
        )
        self.filters["tojson"] = _tojson
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = TEMPLATE_DATE.strftime


class Marking(Sandbox):
    """Renders marks. Set `marks` before a rendering; it is then filled with what was seen."""

    intercepted_binops = frozenset({"+", "%"})  # text that is marked safe escapes what is added

    def __init__(self) -> None:
        super().__init__()
        self.marks: Marks | None = None
        for name, test in self.tests.items():
            if name not in _TYPE_TESTS:
                looks: Any = test
                self.tests[name] = self._watched(looks)
        for name, known in self.filters.items():
            self.filters[name] = self._filter(name, known)

    def compiled(self, source: str) -> jinja2.Template:
        tree = _Instrument().visit(self.parse(source))
        tree.set_environment(self)
        return jinja2.Template.from_code(self, self.compile(tree), self.make_globals(None), None)

    # What the instrumented template calls.

    def compare(self, operators: str, *operands: Any) -> Any:
        return self._apply(_comparison(operators), *operands)

    def truth(self, value: Any) -> Any:
        """The value, or where it is a text with marks in it, one that is as true as the real."""
        if self.marks is None or not isinstance(value, str) or not self.marks.holds(value):
            return value
        return _Text(value, true=bool(self._apply(bool, value)))

    def walk(self, value: Any) -> Any:
        return list(self._apply(list, value)) if isinstance(value, str) else value

    def part(self, value: Any, start: Any, stop: Any, step: Any) -> Any:
        cut = slice(start, stop, step)
        if not isinstance(value, str):
            return value[cut]
        if self.marks is not None and self.marks.spares(value, cut):
            return value[cut]
        return self._apply(operator.getitem, value, cut)

    # What the sandbox calls.

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(obj, "__self__", None)
        if owner is self:
            return obj(*args)
        if self.marks is None or isinstance(obj, type | Macro) or isinstance(owner, Mapping):
            return super().call(context, obj, *args, **kwargs)
        # Jinja's own arguments hold the loop's variables.
        kwargs = {name: value for name, value in kwargs.items() if not name.startswith("_")}
        if isinstance(owner, str | list) and isinstance(obj, BuiltinMethodType):
            return self._method(owner, obj.__name__, *args, **kwargs)
        # It may remember what it was called with before, so its answer holds but once.
        self.marks.once |= self.marks.holds([*args, *kwargs.values()])
        called = functools.partial(super().call, context, obj)
        return self._apply(called, *args, **kwargs)

    def _method(self, owner: str | list[Any], name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "join":
            return getattr(owner, name)(*args)
        if self.marks is not None and isinstance(owner, str) and name in _STRIPS:
            return self.marks.strip(owner, name, *args)
        return self._apply(getattr(type(owner), name), owner, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ARG002
        if operator == "+" and not isinstance(left, Markup) and not isinstance(right, Markup):
            return left + right
        return self._apply(self.binop_table[operator], left, right)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if self.marks is not None and isinstance(obj, str) and isinstance(argument, int):
            self.marks.once |= self.marks.holds(obj)
            return self._apply(operator.getitem, obj, argument)
        return super().getitem(obj, argument)

    def _apply(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.marks is None:
            return function(*args, **kwargs)
        return self.marks.apply(function, *args, **kwargs)

    def _watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter or test that looks at the real text."""
        skipped = 1 if hasattr(function, "jinja_pass_arg") else 0

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            called = functools.partial(function, *args[:skipped])
            return self._apply(called, *args[skipped:], **kwargs)

        return watched

    def _filter(self, name: str, known: Callable[..., Any]) -> Callable[..., Any]:
        watched = self._watched(known)
        if name in _STRUCTURAL_FILTERS:
            skipped = 1 if hasattr(known, "jinja_pass_arg") else 0

            @functools.wraps(known)
            def structural(*args: Any, **kwargs: Any) -> Any:
                value = args[skipped] if len(args) > skipped else None
                if self.marks is not None and len(args) < _WITH_A_TEST.get(name, 0):
                    self.marks.once = True
                if name == "string" or not isinstance(value, str):
                    return known(*args, **kwargs)
                return watched(*args, **kwargs)

            return structural
        if name == "trim":
            return lambda value, chars=None: self._trim(known, value, chars)
        if name == "tojson":
            return self._tojson
        if name == "dictsort":
            return lambda value, *args, **kwargs: self._dictsort(known, value, *args, **kwargs)
        if name in {"default", "d"}:
            return lambda value, *args, **kwargs: known(self.truth(value), *args, **kwargs)
        return watched

    def _trim(self, known: Callable[..., Any], value: Any, chars: Any) -> Any:
        if self.marks is None or not isinstance(value, str) or not self.marks.holds(value):
            return known(value, chars)
        return self.marks.strip(value, "strip", chars)

    def _tojson(self, value: Any, **options: Any) -> str:
        text = _tojson(value, **options)
        ensure_ascii = options.get("ensure_ascii", False)
        return text if self.marks is None else self.marks.escaped(text, ensure_ascii=ensure_ascii)

    def _dictsort(
        self, known: Callable[..., Any], value: Any, *args: Any, **kwargs: Any
    ) -> list[tuple[Any, Any]]:
        if self.marks is None or not self.marks.holds(value):
            return list(known(value, *args, **kwargs))
        real = {self.marks.real(key): (key, item) for key, item in value.items()}
        self.marks.once = True
        order = known({key: key for key in real}, *args, **kwargs)
        return [real[key] for key, _ in order]


@functools.cache
def _comparison(operators: str) -> Callable[..., bool]:
    def compare(*values: Any) -> bool:
        pairs = zip(operators.split(), values, values[1:], strict=False)
        return all(_OPERATORS[name](left, right) for name, left, right in pairs)

    return compare


class _Text(str):
    """A text with marks in it, as true or false as the text it stands for."""

    __slots__ = ("_true",)
    _true: bool

    def __new__(cls, text: str, *, true: bool) -> "_Text":
        made = super().__new__(cls, text)
        made._true = true
        return made

    def __bool__(self) -> bool:
        return self._true


class _Instrument(NodeTransformer):
    """Routes all that looks into a value through `Marking`."""

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        operators = nodes.Const(" ".join(operand.op for operand in node.ops))
        operands = [operand.expr for operand in node.ops]
        return _asked("compare", operators, node.expr, *operands, like=node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if not isinstance(node.arg, nodes.Slice):
            return node
        cut = node.arg
        bounds = [bound or nodes.Const(None) for bound in (cut.start, cut.stop, cut.step)]
        return _asked("part", node.node, *bounds, like=node)

    def visit_If(self, node: nodes.If) -> nodes.Node:  # noqa: N802
        return self._tested(node)

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Node:  # noqa: N802
        return self._tested(node)

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        self._tested(node)
        node.iter = _asked("walk", node.iter, like=node)
        return node

    def visit_Not(self, node: nodes.Not) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.node = _asked("truth", node.node, like=node)
        return node

    def visit_And(self, node: nodes.And) -> nodes.Node:  # noqa: N802
        return self._left(node)

    def visit_Or(self, node: nodes.Or) -> nodes.Node:  # noqa: N802
        return self._left(node)

    def _left(self, node: nodes.And | nodes.Or) -> nodes.Node:
        self.generic_visit(node)
        node.left = _asked("truth", node.left, like=node)
        return node

    def _tested(self, node: nodes.If | nodes.CondExpr | nodes.For) -> nodes.Node:
        self.generic_visit(node)
        if node.test is not None:
            node.test = _asked("truth", node.test, like=node)
        return node


def _asked(name: str, *operands: Any, like: nodes.Node) -> nodes.Call:
    function = nodes.EnvironmentAttribute(name)
    return nodes.Call(function, list(operands), [], None, None, lineno=like.lineno)


class _Generation(jinja2.ext.Extension):
    """`{% generation %}`: some templates mark answers by it; ours are masked without."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own attribute

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
