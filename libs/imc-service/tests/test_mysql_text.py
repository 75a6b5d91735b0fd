"""Values become text as the driver would have it, and rows are divided among statements."""

import datetime
from typing import Any

import pymysql.converters
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imc_service.database._mysql_text import many_rows_of, quoted, template_of, with_values

SPECIAL = "\\'\"\n\r\0\x1a%?_;-`x\u20ac\U0001f600"
INSERT = "INSERT INTO t (a, b) VALUES (?, ?) ON DUPLICATE KEY UPDATE b = VALUES(b), c = c % 7"


def escape(value: Any) -> str:
    return str(pymysql.converters.escape_item(value, "utf8mb4"))


@given(st.text() | st.text(alphabet=SPECIAL))
def test_a_text_is_quoted_as_the_driver_quotes_it(text: str) -> None:
    assert quoted(text) == f"'{pymysql.converters.escape_string(text)}'"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        (-(2**63), "-9223372036854775808"),
        ("it's", r"'it\'s'"),
        (None, "NULL"),
        (True, "1"),
        (0.5, "0.5e0"),
        (datetime.date(2026, 11, 30), "'2026-11-30'"),
    ],
    ids=str,
)
def test_each_value_is_a_literal(value: Any, text: str) -> None:
    assert with_values(template_of("SELECT ? % 2, '%'"), (value,), escape) == f"SELECT {text} % 2, '%'"


def test_a_value_is_not_read_again() -> None:
    assert with_values(template_of("SELECT ?, ?"), ("?", "%s"), escape) == "SELECT '?', '%s'"


def test_rows_are_divided_among_statements_that_are_not_too_large() -> None:
    many = many_rows_of(INSERT)
    assert many is not None
    rows = [(number, "'" * number) for number in range(40)]
    statements = [*many.statements(rows, 200, escape)]
    before, _, after = INSERT.partition("(?, ?)")
    texts = [f"({number}, {quoted(text)})" for number, text in rows]
    for statement in statements:
        assert len(statement) <= 200 or statement.count(b"),(") == 0
        assert statement.startswith(before.encode())
        assert statement.endswith(after.encode())
    bodies = [statement[len(before) : -len(after)].decode() for statement in statements]
    assert ",".join(bodies) == ",".join(texts)
    assert len(statements) < len(rows)
    assert [*many.statements([], 200, escape)] == []


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM t WHERE a = ?",
        "INSERT INTO t (a) VALUES (?) ON DUPLICATE KEY UPDATE a = ?",
        "INSERT INTO t (a) VALUES (? + 1)",
        "INSERT INTO t (a) VALUES (?), (0)",
        "INSERT INTO t (a) SELECT ? UNION VALUES (?)",
        "DELETE FROM t WHERE (a, b) IN (SELECT VALUES (?, ?))",
    ],
)
def test_what_has_no_rows_alone_is_no_statement_for_many(sql: str) -> None:
    assert many_rows_of(sql) is None
