"""Scopes: the kinds of calls that tokens allow."""

from enum import StrEnum


class Scope(StrEnum):
    """A kind of call that a token may allow."""

    SEND = "send"
    RECALL = "recall"
    NOTICE = "notice"
    READ = "read"
    GATEWAY = "gateway"
    OPERATE = "operate"
    """To watch and steer the installation: gateways, activity, dead letters."""
    INTERNAL = "internal"
    """Between services. No token of a client holds it, whatever it says."""


CLIENT_SCOPES = frozenset(Scope) - {Scope.INTERNAL}
"""What tokens of clients may allow."""
