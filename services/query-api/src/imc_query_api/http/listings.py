"""Replies with a listing: small ones in one piece, others piece by piece while they are read."""

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from fastapi import Response
from imc_contracts import envelope
from imc_service.http import replies

from imc_query_api.queries.listing import Listing

Item = TypeVar("Item")

PIECE_BYTES = 262_144
"""A piece is sent once it has as many bytes."""


def listing_reply(listing: Listing[Item], data_of: Callable[[list[Item]], Any]) -> Response:
    """The reply whose ``data`` is ``data_of(items)``, where the list of items stands in it once.

    If the database fails after the first piece, the connection is closed before the end of the reply.
    """
    if listing.rest is None:
        return replies.success(data_of(listing.items))
    start, _, end = envelope.encode(envelope.success(data_of([]))).partition(b"[]")
    return replies.StreamedReply(_pieces(listing, start + b"[", b"]" + end))


async def _pieces(listing: Listing[Any], start: bytes, end: bytes) -> AsyncIterator[bytes]:
    # Each item is encoded by itself: a control character in a content becomes six bytes of JSON.
    piece, separator = bytearray(start), b""
    async for items in _batches(listing):
        for item in items:
            piece += separator + envelope.encode(item)
            separator = b","
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
        items.clear()
    yield bytes(piece + end)


async def _batches(listing: Listing[Item]) -> AsyncIterator[list[Item]]:
    yield listing.items
    if listing.rest is not None:
        async for items in listing.rest:
            yield items
