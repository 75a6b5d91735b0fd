"""The audit trail: who did what only few may do, as log lines of their own kind.

A line has ``"component": "audit"``, and is written at every log level. Other lines show no ids; these do,
since they are about them. None shows what users wrote, or a token.
"""

import logging
from typing import Any, cast

import structlog
from starlette.types import Scope

from imc_service.auth.middleware import grant_in
from imc_service.logs import AUDIT

MESSAGE_RECALLED = "message recalled"
GATEWAY_DISCONNECTED = "gateway disconnected"
LETTERS_REPLAYED = "dead letters replayed"
LETTERS_DROPPED = "dead letters dropped"
USER_ERASED = "user erased"
GROUP_ERASED = "group erased"
APP_ERASED = "app erased"

logger = cast(
    structlog.stdlib.BoundLogger,
    # Not through the filter of the process: its level is for what goes on, not for who did it.
    structlog.wrap_logger(
        logging.getLogger(AUDIT), wrapper_class=structlog.stdlib.BoundLogger, component=AUDIT
    ),
)


def audit(scope: Scope, action: str, app_id: str, **about: Any) -> None:
    """Log that who made a call has done ``action`` in an app.

    The caller is named by ``sub`` and ``jti`` of its token, and by its address: that of its connection, or
    the one that a trusted proxy tells. ``about`` are ids and numbers.
    """
    marks, client = grant_in(scope).marks, scope.get("client")
    logger.info(
        action,
        appId=app_id,
        **about,
        subject=marks.subject,
        tokenId=marks.token_id,
        address=client[0] if client else None,
    )
