"""JSON Schemas as Markdown: both descriptions, OpenAPI and AsyncAPI, are made of them."""

from collections.abc import Iterator, Mapping
from typing import Any

from markup import slug

Schema = Mapping[str, Any]


def cell(text: object) -> str:
    """Text for a cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: str, rows: list[str]) -> str:
    """A table with the columns ``head``; nothing if it has no rows."""
    if not rows:
        return ""
    return f"| {head} |\n|{'---|' * (head.count('|') + 1)}\n" + "".join(f"| {row} |\n" for row in rows) + "\n"


def name_of(schema: Schema) -> str:
    """The name of the schema that this one refers to."""
    return str(schema["$ref"]).rpartition("/")[2]


def kind(schema: Schema) -> str:
    """The type of a value, with links to the schemas that it is made of."""
    if "$ref" in schema:
        name = name_of(schema)
        return f"[{name}](#{slug(name)})"
    if "const" in schema:
        return f"`{_literal(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{_literal(each)}`" for each in schema["enum"])
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(kind(each) for each in schema[union])
    if "allOf" in schema:
        return " with ".join(kind(each) for each in schema["allOf"] if "$ref" in each) or "object"
    names = schema.get("type", "object")
    return " or ".join(_named(name, schema) for name in ([names] if isinstance(names, str) else names))


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _named(name: str, schema: Schema) -> str:
    if name == "array":
        return f"list of {kind(schema['items'])}"
    if name == "object" and "properties" in schema:
        return "object of " + ", ".join(f"`{field}`" for field in schema["properties"])
    return f"{name} ({schema['format']})" if name in ("integer", "number") and "format" in schema else name


def fields(schema: Schema) -> str:
    """A table of the fields of an object."""
    required = schema.get("required", ())
    return table(
        "field | type | required | meaning",
        [
            f"`{name}` | {kind(field)} | {'yes' if name in required else ''} "
            f"| {cell(field.get('description', ''))}"
            for name, field in schema.get("properties", {}).items()
        ],
    )


def described(schemas: Mapping[str, Schema]) -> Iterator[str]:
    """A section for each schema."""
    for name, schema in schemas.items():
        yield f"### {name}\n\n"
        if "description" in schema:
            yield f"{schema['description']}\n\n"
        yield fields(schema) if "properties" in schema else _plain(schema)


def _plain(schema: Schema) -> str:
    """A schema that is no object with fields of its own: its type and its bounds."""
    changes = [each for each in schema.get("allOf", ()) if "$ref" not in each]
    bounds = [
        f"`{bound}` {schema[bound]}" for bound in ("minLength", "maxLength", "minimum") if bound in schema
    ]
    bounds += [f"pattern `{schema['pattern']}`"] if "pattern" in schema else []
    own = ", ".join([kind(schema), *bounds])
    return f"{own[0].upper()}{own[1:]}.\n\n" + "".join(fields(each) for each in changes)
