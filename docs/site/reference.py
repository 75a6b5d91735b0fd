"""Pages of reference that are made from what the code and the descriptions of the APIs say."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from schemas import Schema, cell, described, fields, kind, name_of, table

WRAPPED = ("Envelope", "JavaAnswer")
"""What the names of replies end with that hold another schema as `data`."""


def http(root: Path) -> str:
    """The calls over HTTP, by docs/openapi.json."""
    openapi = json.loads((root / "docs/openapi.json").read_text("utf-8"))
    schemas: dict[str, Schema] = openapi["components"]["schemas"]
    parts = [
        "# Calls over HTTP\n\n",
        "Every call, made from [openapi.json](../openapi.json). [api.md](../api.md) explains them, with "
        "examples. Replies have the fields `success`, `code`, `message` and `data`; below stands what "
        "`data` is.\n\n",
    ]
    for tag in openapi["tags"]:
        parts.append(f"## {tag['name'].capitalize()}\n\n{tag['description']}\n\n")
        for path, methods in openapi["paths"].items():
            for method, call in methods.items():
                if tag["name"] in call["tags"]:
                    parts += _call(f"{method.upper()} {path}", call, schemas)
    parts.append("## Schemas\n\n")
    parts += described({name: each for name, each in schemas.items() if not name.endswith(WRAPPED)})
    return "".join(parts)


def _call(title: str, call: dict[str, Any], schemas: dict[str, Schema]) -> Iterator[str]:
    yield f"### {title}\n\n{call.get('description') or call['summary'] + '.'}\n\n"
    yield table(
        "parameter | in | type | required | meaning",
        [
            f"`{each['name']}` | {each['in']} | {kind(each['schema'])} | {'yes' if each['required'] else ''} "
            f"| {cell(each.get('description', ''))}"
            for each in call.get("parameters", ())
        ],
    )
    if "requestBody" in call:
        yield f"Body: {' or '.join(map(kind, _contents(call['requestBody'])))}\n\n"
    yield table(
        "status | reply",
        [f"{status} | {_reply(reply, schemas)}" for status, reply in sorted(call["responses"].items())],
    )


def _contents(holder: dict[str, Any]) -> list[Schema]:
    return [each["schema"] for each in holder.get("content", {}).values() if "schema" in each]


def _reply(reply: dict[str, Any], schemas: dict[str, Schema]) -> str:
    data: list[str] = []
    for schema in _contents(reply):
        if "$ref" in schema and name_of(schema).endswith(WRAPPED):
            data.append(kind(schemas[name_of(schema)]["properties"]["data"]))
        elif "$ref" in schema and not name_of(schema).endswith("Failure"):
            data.append(kind(schema))
    return f"{cell(reply['description'])} {' or '.join(data)}".strip()


def websocket(root: Path) -> str:
    """The WebSockets of gateways, by docs/asyncapi.yaml."""
    asyncapi = yaml.safe_load((root / "docs/asyncapi.yaml").read_text("utf-8"))
    messages, schemas = asyncapi["components"]["messages"], asyncapi["components"]["schemas"]
    parts = [
        "# WebSockets of gateways\n\n",
        f"{asyncapi['info']['description'].partition(' docs/')[0]} This page is made from "
        "[asyncapi.yaml](../asyncapi.yaml); [gateways.md](../gateways.md) explains it, with programs.\n\n",
    ]
    for channel in asyncapi["channels"].values():
        of_path = {
            name: {"type": "string", **each} for name, each in asyncapi["components"]["parameters"].items()
        }
        of_query = channel["bindings"]["ws"]["query"]["properties"]
        parts += [f"## {channel['title']}\n\n`{channel['address']}`\n\n{channel['description']}\n\n"]
        parts.append(fields({"properties": {**of_path, **of_query}, "required": [*of_path]}))
        for operation in asyncapi["operations"].values():
            if asyncapi["channels"][name_of(operation["channel"])] is channel:
                parts.append(f"### {operation['title']}\n\n")
                for message in operation["messages"]:
                    parts += _message(messages[name_of(channel["messages"][name_of(message)])])
    parts.append("## Schemas\n\n")
    parts += described(schemas)
    return "".join(parts)


def _message(message: dict[str, Any]) -> Iterator[str]:
    yield f"**{message['title']}**"
    yield f": {message['summary']}\n\n" if "summary" in message else "\n\n"
    payload = message["payload"]
    own = [each for each in payload.get("allOf", (payload,)) if "properties" in each]
    yield "".join(map(fields, own)) or f"{kind(payload)}\n\n"


def metrics(root: Path) -> str:
    """What processes expose at `/metrics`, by the code that registers it."""
    rows: dict[str, set[str]] = {}
    for path in sorted([*root.glob("services/*/src/**/*.py"), *root.glob("libs/imc-service/src/**/*.py")]):
        for row in _registered(ast.parse(path.read_text("utf-8"))):
            rows.setdefault(row, set()).add(_process(path.relative_to(root)))
    return (
        "# Metrics\n\n"
        "What each process exposes at `/metrics`, in the text format of Prometheus; made from the code. "
        "Standalone has the metrics of all its parts. A histogram has `_bucket`, `_sum` and `_count` behind "
        "its name. [Alerts](../operations/alerts.md) and "
        "[the dashboard](../operations/look.md#metrics-and-the-dashboard) are built on them.\n\n"
    ) + table(
        "metric | kind | labels | process | meaning",
        [row.replace("@", ", ".join(sorted(processes))) for row, processes in sorted(rows.items())],
    )


KINDS = {"counter": "counter", "gauge": "gauge", "histogram": "histogram"}


def _registered(tree: ast.Module) -> Iterator[str]:
    """A row for each metric that a module registers, with ``@`` in the place of the process."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        words = [each.value for each in call.args if isinstance(each, ast.Constant)]
        if name == "_gauge" and len(words) == 2:
            words[0] = f"imc_…_redis_{words[0]}"
        kind_of = KINDS.get(name.strip("_").removesuffix("MetricFamily").lower())
        if kind_of and len(words) > 1 and str(words[0]).startswith("imc_"):
            total = "_total" if kind_of == "counter" else ""
            yield f"`{words[0]}{total}` | {kind_of} | {_labels(call)} | @ | {cell(words[1])}"


def _labels(call: ast.Call) -> str:
    lists = [*call.args, *(each.value for each in call.keywords if each.arg in ("labels", "labelnames"))]
    named = [each.elts for each in lists if isinstance(each, ast.List | ast.Tuple)]
    return ", ".join(
        f"`{each.value}`" for elts in named[:1] for each in elts if isinstance(each, ast.Constant)
    )


def _process(path: Path) -> str:
    if path.parts[0] == "libs":
        return "all"
    return "projector" if "projector" in path.parts else path.parts[1]


CODES = (
    ("Failures", "api.md", "Failures", "What `code` of a reply over HTTP says, and `error` of a frame."),
    ("Frames to a gateway", "gateways.md", "Frames from IMC", "What `code` of a frame says."),
    (
        "Ends of a connection",
        "gateways.md",
        "When a connection ends",
        "With which code a WebSocket is closed.",
    ),
)


def codes(root: Path) -> str:
    """All codes on one page: the tables of the pages that explain them."""
    parts = [
        "# Codes\n\n"
        "Programs decide by these numbers. They are stable; the texts beside them are for people.\n\n"
    ]
    for title, page, heading, meaning in CODES:
        text = (root / "docs" / page).read_text("utf-8")
        section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        rows = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)[0]
        rows = re.sub(r"\]\((?=#)", f"](../{page}", re.sub(r"\]\((?=[\w-]+\.md)", "](../", rows))
        anchor = heading.lower().replace(" ", "-")
        parts.append(f"## {title}\n\n{meaning} [More](../{page}#{anchor}).\n\n{rows}\n")
    return "".join(parts)


REFERENCE: dict[str, Callable[[Path], str]] = {
    "reference/http.md": http,
    "reference/websocket.md": websocket,
    "reference/metrics.md": metrics,
    "reference/codes.md": codes,
}
"""The pages, by their sources relative to docs/. Each is made from the top of the repository."""
