"""What a caller may do, and in which apps."""

import math
from dataclasses import dataclass

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.policies import TokenMarks
from imc_contracts.scopes import Scope

NO_MARKS = TokenMarks()

Apps = frozenset[str] | None
"""The ids of some apps, or None for every app."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one token allows."""

    apps: Apps
    scopes: frozenset[Scope]
    expires_at: float
    """In seconds of Unix time; infinite if it never ends."""

    marks: TokenMarks = NO_MARKS
    """What the token says about itself, by which it can be revoked."""

    def require_scope(self, scope: Scope) -> None:
        """Raise `Refused` (`FORBIDDEN`) unless this scope is granted."""
        if scope not in self.scopes:
            raise Refused(ErrorCode.FORBIDDEN, f"the token does not allow this: its scope must hold {scope}")

    def require(self, scope: Scope, app_id: str) -> None:
        """Raise `Refused` (`FORBIDDEN`) unless this scope is granted for this app."""
        self.require_scope(scope)
        if self.apps is not None and app_id not in self.apps:
            raise Refused(ErrorCode.FORBIDDEN, "the token does not cover this app")

    def require_for_all_apps(self, scope: Scope) -> None:
        """Raise `Refused` (`FORBIDDEN`) unless this scope is granted for every app."""
        self.require_scope(scope)
        if self.apps is not None:
            raise Refused(
                ErrorCode.FORBIDDEN, "this is about all apps, and the token covers some: its app must be *"
            )

    def among(self, scope: Scope, app_id: str | None) -> Apps:
        """The apps that a call may touch: ``app_id``, or all that are granted if it is None.

        Raises as `require` does.
        """
        if app_id is None:
            self.require_scope(scope)
            return self.apps
        self.require(scope, app_id)
        return frozenset({app_id})

    def allows(self, scope: Scope, app_id: str) -> bool:
        """Whether this scope is granted for this app."""
        return scope in self.scopes and (self.apps is None or app_id in self.apps)


EVERYTHING = Grant(None, frozenset(Scope), math.inf)
"""The grant of every caller where no token is needed."""
