"""Reads the SQL of queries from ``sql/``, a statement or expression in each file."""

from importlib.resources import files


def read_sql(file: str, **parts: str) -> str:
    """The SQL in ``file``, with each {name} in it replaced by the part of that name.

    Parts are names and expressions of this package, never input, which is bound to each ``?``.
    Reads a file, so call this when a process starts.
    """
    return files("imc_query_api.queries").joinpath("sql", file).read_text("utf-8").format_map(parts)
