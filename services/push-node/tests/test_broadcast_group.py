"""Sockets that are told the same: who is written to, and how many bytes each was written."""

from typing import Any

from imc_push_node.gateway.broadcast_group import BroadcastGroup, GroupMember


class Transport:
    def __init__(self) -> None:
        self.got = b""

    def write(self, frames: bytes) -> None:
        self.got += frames


class Socket(GroupMember):
    def __init__(self) -> None:
        self.transport: Any = Transport()

    @property
    def got(self) -> bytes:
        return self.transport.got


def test_who_is_in_a_group_is_written_to_and_counted_from_then_on() -> None:
    group, first, second = BroadcastGroup(), Socket(), Socket()
    group.add(first)
    group.write(b"one")
    group.add(second)
    group.write(b"three")
    assert len(group) == 2
    assert (first.got, second.got) == (b"onethree", b"three")
    assert (first.written, second.written, group.written) == (8, 5, 8)


def test_who_has_left_is_not_written_to_and_keeps_its_count() -> None:
    group, other, socket = BroadcastGroup(), BroadcastGroup(), Socket()
    group.add(socket)
    group.write(b"one")
    group.discard(socket)
    group.discard(socket)
    group.write(b"two")
    assert len(group) == 0
    assert (socket.got, socket.written) == (b"one", 3)
    other.write(b"before")
    other.add(socket)
    other.write(b"four")
    assert (socket.got, socket.written) == (b"onefour", 7)
    # Of a group that it is not in it is not let go.
    group.discard(socket)
    other.write(b"!")
    assert (socket.got, socket.written) == (b"onefour!", 8)


def test_one_may_leave_while_all_are_written_to() -> None:
    group, sockets = BroadcastGroup(), [Socket() for _ in range(3)]

    def write_and_leave(frames: bytes) -> None:
        sockets[0].transport.got += frames
        group.discard(sockets[0])

    sockets[0].transport.write = write_and_leave
    for socket in sockets:
        group.add(socket)
    group.write(b"x")
    assert [socket.got for socket in sockets] == [b"x"] * 3
    assert len(group) == 2
