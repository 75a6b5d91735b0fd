"""What ends a command: one line that says what went wrong and what to do."""

import click


class Failure(click.ClickException):
    """The command was understood, but could not do its work. Exit status 1."""


class MissingPart(Failure):
    """A package that this command needs is not part of this installation."""

    def __init__(self, package: str) -> None:
        super().__init__(f"{package} is not installed here: use an image or an environment that has it")
