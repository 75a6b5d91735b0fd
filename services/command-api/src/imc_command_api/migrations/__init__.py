"""The tables of IMC, made and changed by the side that writes them.

Every change is made in two releases. One *expands*: it only adds, so that processes of the release before
still work on the tables. A later one *contracts*: it takes away what no running process uses any more.
Downgrades are therefore not offered: going back a release needs none, and one that drops a column loses data.
"""

from imc_command_api.migrations.upgrade import migrate
from imc_command_api.migrations.version import MigrationError

__all__ = ["MigrationError", "migrate"]
