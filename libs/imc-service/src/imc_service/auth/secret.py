"""Shared secrets that sign tokens (HS256)."""

from typing import Annotated

from pydantic import AfterValidator, SecretStr

from imc_service.auth.keys import Header, Key, invalid

ALGORITHM = "HS256"
LEAST_BYTES = 32
"""A key must be as long as the hash (RFC 7518, section 3.2)."""


def split(secrets: SecretStr) -> list[str]:
    """The secrets in a setting; the first of them signs."""
    return secrets.get_secret_value().split()


def _long_enough(secrets: SecretStr) -> SecretStr:
    parts = split(secrets)
    if not parts or min(len(part.encode()) for part in parts) < LEAST_BYTES:
        raise ValueError(
            f"must be at least {LEAST_BYTES} bytes, a secret of `openssl rand -hex 32` say; while it is "
            f"replaced several may stand here, each as long, with a space between"
        )
    return secrets


Secrets = Annotated[SecretStr, AfterValidator(_long_enough)]
"""One secret of at least 32 bytes, or several while one is being replaced, separated by spaces."""


class SharedSecrets:
    """The secrets as keys. They have no names: any of them may have signed."""

    def __init__(self, secrets: SecretStr) -> None:
        self._keys = [Key(secret.encode(), ALGORITHM) for secret in split(secrets)]

    async def find(self, header: Header) -> list[Key]:
        """The keys that may have signed a token with this header."""
        if header.get("alg") != ALGORITHM:
            raise invalid(f"the token is not signed with {ALGORITHM}")
        return self._keys
