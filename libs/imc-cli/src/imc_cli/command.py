"""What all subcommands have in common: examples in their help, and options that several of them take."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class Command(click.Command):
    """A command whose help ends with examples."""

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **options: Any) -> None:
        """``examples`` are lines of shell, shown as they are."""
        super().__init__(*arguments, **options)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples below the options."""
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{example}\n")
        super().format_epilog(ctx, formatter)


class Group(click.Group):
    """A command with subcommands, each of which has examples."""

    command_class = Command


def documented(*, examples: Sequence[str]) -> Callable[[Callable[..., Any]], Command]:
    """As `click.command`, with examples."""
    return click.command(cls=Command, examples=examples)


app = click.option("--app", "-a", "app_id", required=True, metavar="APP", help="The appId.")
"""An option for the app that everything is about."""

optional_app = click.option("--app", "-a", "app_id", metavar="APP", help="Only of this appId.")

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one document a line.")

limit = click.option(
    "--limit", "-n", type=click.IntRange(1, 500), default=50, show_default=True, help="How many at most."
)

all_pages = click.option("--all", "everything", is_flag=True, help="All of them, page by page.")
