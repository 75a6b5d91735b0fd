"""``imc completion``."""

import click
from click.shell_completion import get_completion_class
from imc_service.standard_streams import say

from imc_cli.command import documented
from imc_cli.failures import Failure

VARIABLE = "_IMC_COMPLETE"
"""What click looks at, when a shell asks it what may follow."""


@documented(
    examples=[
        'eval "$(imc completion bash)"         # in ~/.bashrc',
        'eval "$(imc completion zsh)"          # in ~/.zshrc',
        "imc completion fish > ~/.config/fish/completions/imc.fish",
    ]
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print what SHELL needs to complete commands and options of imc."""
    kind = get_completion_class(shell)
    if kind is None:
        raise Failure(f"there is no completion for {shell}")
    say(kind(context.find_root().command, {}, "imc", VARIABLE).source().strip())
