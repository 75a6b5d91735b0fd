"""Tokens for clients and gateways, signed with our own secret: for testing and operations."""

import time
from collections.abc import Sequence

import jwt

from imc_service.auth.secret import ALGORITHM, split
from imc_service.auth.settings import TokenSettings

LONGEST_LIFETIME = 365 * 86_400


def mint(settings: TokenSettings, apps: Sequence[str], scopes: Sequence[str], lifetime: int) -> str:
    """A token for ``apps`` (``["*"]``: all) and ``scopes`` that expires after ``lifetime`` seconds."""
    now = int(time.time())
    claims = {
        "aud": settings.jwt_audience,
        "app": apps[0] if len(apps) == 1 else list(apps),
        "scope": " ".join(scopes),
        "iat": now,
        "exp": now + lifetime,
    }
    return jwt.encode(claims, split(settings.jwt_secret)[0], ALGORITHM)
