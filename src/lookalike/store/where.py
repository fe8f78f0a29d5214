"""Conditions for `where`: one small SQL dialect, parsed here so that every store evaluates the same.

    label = 'shoe' AND (width >= 640 OR NOT hidden) AND path LIKE 'summer/%' AND taken IS NOT NULL

Comparisons, AND, OR, NOT, IN, BETWEEN, LIKE (case-sensitive; `lower(x)` and `upper(x)` help), IS [NOT] NULL, TRUE and
FALSE. Passing the text to an engine unparsed is unsafe: Lance 14 reads "label" in double quotes as a string and
finds nothing, drops what follows a semicolon, and stops at `width > 2.5`; SQLite guesses types.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lookalike.errors import BadFilter, nearest

TOKEN = re.compile(
    r"""\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<text>'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")*"|`[^`]*`)
    |(?P<word>[^\W\d]\w*)|(?P<op><=|>=|<>|!=|==|[=<>(),-]))""",
    re.VERBOSE,
)
COMPARISONS = {"=": "=", "==": "=", "!=": "<>", "<>": "<>", "<": "<", ">": ">", "<=": "<=", ">=": ">="}
RESERVED = {"and", "or", "not", "in", "between", "like", "is", "null", "true", "false"}
NAMES = {bool: "true or false", int: "a number", float: "a number", str: "text", bytes: "bytes"}
MAX_INT = 2**63 - 1
MAX_DEPTH = 64  # a condition must not exhaust Python's stack

Quote = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Term:
    """A part of the condition as SQL, its type, and its kind: "column", "literal" or "test"."""

    sql: str
    type: type
    kind: str


def condition(where: str, columns: Mapping[str, type], quote: Quote) -> str:
    """Return the condition as SQL for one engine, every column quoted by `quote`. Raises BadFilter."""
    return _Parser(where, columns, quote).parse()


def quote_text(text: str) -> str:
    """Return text as a SQL literal; a doubled quote is the only escape."""
    return "'" + text.replace("'", "''") + "'"


def backticks(name: str) -> str:
    return f"`{name}`"


def double_quotes(name: str) -> str:
    return f'"{name}"'


class _Parser:
    def __init__(self, where: str, columns: Mapping[str, type], quote: Quote) -> None:
        self.where, self.columns, self.quote = where, columns, quote
        self.tokens = self._tokens()
        self.at = 0
        self.depth = 0

    def fail(self, reason: str) -> BadFilter:
        return BadFilter(f"The condition {self.where!r} cannot be understood: {reason}")

    def _tokens(self) -> list[tuple[str, str]]:
        tokens, at, end = [], 0, len(self.where.rstrip())
        while at < end:
            match = TOKEN.match(self.where, at)
            if match is None or match.lastgroup is None:
                raise self.fail(f"{self.where[at:].strip()[:20]!r} was not expected. Text goes in single quotes.")
            tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        return tokens

    def peek(self) -> str:
        """Return the next token in lower case if it is a keyword or an operator, else ""."""
        if self.at == len(self.tokens):
            return ""
        kind, text = self.tokens[self.at]
        word = text.lower()
        return word if kind == "op" or (kind == "word" and word in RESERVED) else ""

    def take(self, *expected: str) -> str:
        """Consume and return the next token if it is one of these, else ""."""
        token = self.peek()
        if token and token in expected:
            self.at += 1
            return token
        return ""

    def expect(self, token: str) -> None:
        if not self.take(token):
            raise self.fail(f"{token.upper()!r} was expected {self.context()}.")

    def context(self) -> str:
        return "at the end" if self.at >= len(self.tokens) else f"before {self.tokens[self.at][1]!r}"

    def parse(self) -> str:
        if not self.tokens:
            raise self.fail("it is empty. Leave `where` out to search everything.")
        term = self.test(self.disjunction())
        if self.at < len(self.tokens):
            raise self.fail(f"AND or OR was expected {self.context()}.")
        return term.sql

    def test(self, term: Term) -> Term:
        if term.type is not bool:
            raise self.fail(f"{term.sql} is {NAMES[term.type]}, not a condition; compare it with something.")
        return term

    def disjunction(self) -> Term:
        return self._chain("or", self.conjunction)

    def conjunction(self) -> Term:
        return self._chain("and", self.negation)

    def _chain(self, word: str, part: Callable[[], Term]) -> Term:
        first = part()
        if self.peek() != word:
            return first
        tests = [self.test(first).sql]
        while self.take(word):
            tests.append(self.test(part()).sql)
        return Term(_balanced(tests, word.upper()), bool, "test")

    def negation(self) -> Term:
        if not self.take("not"):
            return self.predicate()
        with_not = self._deeper(self.negation)
        return Term(f"(NOT {self.test(with_not).sql})", bool, "test")

    def _deeper(self, part: Callable[[], Term]) -> Term:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail(f"it is nested more than {MAX_DEPTH} deep.")
        term = part()
        self.depth -= 1
        return term

    def predicate(self) -> Term:
        term = self.operand()
        if sign := self.take(*COMPARISONS):
            return self.compare(term, COMPARISONS[sign], self.operand())
        if self.take("is"):
            negated = "NOT " if self.take("not") else ""
            self.expect("null")
            return Term(f"({term.sql} IS {negated}NULL)", bool, "test")
        negated = "NOT " if self.take("not") else ""
        if self.take("in"):
            return self.member(term, negated)
        if self.take("between"):
            low = self.operand()
            self.expect("and")
            low_sql, high_sql = self.compare(term, ">=", low).sql, self.compare(term, "<=", self.operand()).sql
            return Term(f"({'NOT ' if negated else ''}({low_sql} AND {high_sql}))", bool, "test")
        if self.take("like"):
            return self.like(term, negated)
        if negated:
            raise self.fail(f"IN, BETWEEN or LIKE was expected {self.context()}.")
        return term

    def member(self, operand: Term, negated: str) -> Term:
        self.expect("(")
        tests = [self.compare(operand, "=", self.operand()).sql]
        while self.take(","):
            tests.append(self.compare(operand, "=", self.operand()).sql)
        self.expect(")")
        return Term(f"({negated}{_balanced(tests, 'OR')})", bool, "test")

    def like(self, operand: Term, negated: str) -> Term:
        pattern = self.operand()
        if operand.type is not str or pattern.type is not str or pattern.kind != "literal":
            raise self.fail("LIKE takes a text column and a pattern in single quotes, as in path LIKE 'summer/%'.")
        return Term(f"({operand.sql} {negated}LIKE {pattern.sql} ESCAPE '\\')", bool, "test")

    def compare(self, operand: Term, sign: str, right: Term) -> Term:
        numbers = {operand.type, right.type} <= {int, float}
        if bytes in (operand.type, right.type):
            raise self.fail("a column of bytes can only be tested with IS NULL or IS NOT NULL.")
        if operand.type is not right.type and not numbers:
            reason = f"{operand.sql} is {NAMES[operand.type]} and {right.sql} is {NAMES[right.type]}."
            raise self.fail(reason + " Text goes in single quotes, numbers without.")
        if numbers and operand.type is not right.type:
            operand, right = _as_double(operand), _as_double(right)
        return Term(f"({operand.sql} {sign} {right.sql})", bool, "test")

    def operand(self) -> Term:
        if self.take("("):
            term = self._deeper(self.disjunction)
            self.expect(")")
            return term
        if self.take("-"):
            return self.number("-")
        if word := self.take("true", "false"):
            return Term(word.upper(), bool, "literal")
        if self.at == len(self.tokens) or self.peek():
            raise self.fail(f"a column or a value was expected {self.context()}.")
        return self.value()

    def value(self) -> Term:
        kind, text = self.tokens[self.at]
        if kind == "number":
            return self.number("")
        self.at += 1
        if kind == "text":
            return Term(text, str, "literal")
        name = text[1:-1].replace('""', '"') if kind == "quoted" else text
        if kind == "word" and text.lower() in ("lower", "upper") and self.take("("):
            return self.function(text.lower())
        if name not in self.columns:
            raise self.fail(f"there is no column {name!r}; {nearest(name, self.columns)}.")
        return Term(self.quote(name), self.columns[name], "column")

    def function(self, name: str) -> Term:
        inner = self._deeper(self.operand)
        self.expect(")")
        if inner.type is not str:
            raise self.fail(f"{name}() takes text, and {inner.sql} is {NAMES[inner.type]}.")
        return Term(f"{name}({inner.sql})", str, "column")

    def number(self, sign: str) -> Term:
        kind, text = self.tokens[self.at] if self.at < len(self.tokens) else ("", "")
        if kind != "number":
            raise self.fail(f"a number was expected {self.context()}.")
        self.at += 1
        if not text.isdigit():
            if not math.isfinite(value := float(text)):
                raise self.fail(f"{sign}{text} is larger than any number can be.")
            return Term(f"{sign}{value!r}", float, "literal")
        if int(text) > MAX_INT:
            raise self.fail(f"{text} is beyond 64 bits.")
        return Term(f"{sign}{int(text)}", int, "literal")


def _as_double(term: Term) -> Term:
    return term if term.type is float else Term(f"CAST({term.sql} AS DOUBLE)", float, term.kind)


def _balanced(tests: list[str], word: str) -> str:
    """Nest a long AND or OR as a balanced tree: engines recurse, and a chain of 10,000 would overflow their stacks."""
    while len(tests) > 1:
        tests = [f"({f' {word} '.join(tests[at : at + 2])})" for at in range(0, len(tests), 2)]
    return tests[0]
