"""When gateways are sent away for their tokens, and which fresh ones count: in virtual time."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.scopes import Scope
from imc_push_node.gateway import token_expiry as module
from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.gateway.token_expiry import TokenExpiry
from imc_push_node.metrics import NodeMetrics
from imc_service.auth.grant import Grant
from imc_testkit.virtual_time import VirtualTimeLoop
from prometheus_client import CollectorRegistry

BEGIN = 1_800_000_000.25
"""The wall clock as a test begins: not at a whole second."""

ALL = frozenset({Scope.GATEWAY, Scope.SEND})


def grant(seconds: float, apps: frozenset[str] | None = None, scopes: frozenset[Scope] = ALL) -> Grant:
    """One that expires so many seconds after the beginning."""
    return Grant(apps, scopes, BEGIN + seconds)


class Socket:
    def __init__(self) -> None:
        self.closed: list[tuple[int, float]] = []
        """Close codes, and how many seconds after the beginning."""
        self.frames: list[bytes] = []

    def close(self, code: int, _reason: str) -> None:
        self.closed.append((int(code), asyncio.get_running_loop().time()))

    def write(self, frames: bytes) -> None:
        self.frames.append(frames)


@dataclass(eq=False)
class Member:
    """A gateway, as far as tokens are concerned."""

    grant: Grant
    app_id: str = "a"
    socket: Socket = field(default_factory=Socket)
    format = PushFormat.V1

    def may(self, scope: Scope) -> bool:
        return self.grant.allows(scope, self.app_id)

    def renew(self, grant: Grant) -> None:
        self.grant = grant


class Door:
    """In the place of the gatekeeper: tokens are names of grants; one that is not known is refused."""

    def __init__(self, *, is_off: bool = False) -> None:
        self.is_off = is_off
        self.grants: dict[str, Grant] = {}
        self.answers = asyncio.Event()
        self.answers.set()

    async def grant_of(self, token: str) -> Grant:
        await self.answers.wait()
        if token not in self.grants:
            raise Refused(ErrorCode.UNAUTHENTICATED, "it is not known")
        return self.grants[token]


class World:
    """The part under test, and the wall clock, which a test may set forward."""

    def __init__(self, *, is_off: bool = False) -> None:
        self.ahead = 0.0
        self.registry = CollectorRegistry()
        self.door = Door(is_off=is_off)
        parts: Any = (self.door, NodeMetrics(self.registry).frames_refused)
        self.tokens: Any = TokenExpiry(*parts)

    def wall_clock(self) -> float:
        return BEGIN + self.ahead + asyncio.get_running_loop().time()

    def member(self, granted: Grant) -> Member:
        """A gateway that is watched."""
        member = Member(granted)
        self.tokens.watch(member)
        return member

    @property
    def refused(self) -> float:
        return self.registry.get_sample_value("imc_frames_refused_total") or 0


Test = Callable[[World], Coroutine[Any, Any, None]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs a test in virtual time."""

    def run(test: Test, *, is_off: bool = False) -> None:
        async def in_the_world() -> None:
            world = World(is_off=is_off)
            monkeypatch.setattr(module, "time", SimpleNamespace(time=world.wall_clock))
            await test(world)
            world.tokens.close()

        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(in_the_world())

    return run


def test_a_gateway_is_sent_away_within_a_second_of_the_end_of_its_token(run: Callable[..., None]):
    async def test(world: World) -> None:
        # Wall clock: 1.75 seconds after the beginning it is a whole second, and then each second.
        ends = (1.5, 1.75, 1.8, 3.0, 7.75, 7.75, 90.0)
        members = [world.member(grant(seconds)) for seconds in ends]
        await asyncio.sleep(200)
        for seconds, member in zip(ends, members, strict=True):
            [(code, at)] = member.socket.closed
            assert code == 4401
            assert seconds <= at < seconds + 1

    run(test)


def test_one_whose_second_has_been_looked_at_is_sent_away_at_the_next(run: Callable[..., None]):
    async def test(world: World) -> None:
        world.member(grant(1000))
        await asyncio.sleep(10)
        late = world.member(grant(5))
        now = world.member(grant(9.9))
        await asyncio.sleep(1.01)
        assert len(late.socket.closed) == len(now.socket.closed) == 1

    run(test)


def test_who_never_expires_is_not_watched_and_who_has_left_is_no_longer(run: Callable[..., None]):
    async def test(world: World) -> None:
        ever = world.member(Grant(None, ALL, math.inf))
        left = world.member(grant(2))
        stays = world.member(grant(2))
        world.tokens.forget(left)
        world.tokens.forget(left)
        world.tokens.forget(ever)
        assert world.tokens._second_of == {stays: math.ceil(BEGIN + 2)}
        await asyncio.sleep(10)
        assert ever.socket.closed == left.socket.closed == []
        assert len(stays.socket.closed) == 1

    run(test)


def test_nothing_runs_while_nobody_is_watched_and_watching_begins_anew(run: Callable[..., None]):
    async def test(world: World) -> None:
        for begun in (0, 100, 200):
            await asyncio.sleep(begun - asyncio.get_running_loop().time())
            member = world.member(grant(begun + 5))
            await asyncio.sleep(20)
            [(_, at)] = member.socket.closed
            assert begun + 5 <= at < begun + 6
            assert world.tokens._timer is None

    run(test)


def test_a_clock_that_is_set_forward_is_noticed_within_a_second(run: Callable[..., None]):
    async def test(world: World) -> None:
        member, other = world.member(grant(3600)), world.member(grant(9000))
        await asyncio.sleep(10)
        world.ahead = 3600
        await asyncio.sleep(1.01)
        assert len(member.socket.closed) == 1
        assert other.socket.closed == []

    run(test)


def test_a_fresh_token_counts_from_when_it_is_accepted(run: Callable[..., None]):
    async def test(world: World) -> None:
        world.door.grants["fresh"] = grant(50)
        member = world.member(grant(5))
        world.tokens.renew(member, "fresh")
        await asyncio.sleep(20)
        assert member.socket.closed == []
        assert member.grant == grant(50)
        await asyncio.sleep(100)
        [(_, at)] = member.socket.closed
        assert 50 <= at < 51
        assert (member.socket.frames, world.refused) == ([], 0)

    run(test)


def test_a_fresh_token_may_end_sooner_or_never(run: Callable[..., None]):
    async def test(world: World) -> None:
        world.door.grants |= {"sooner": grant(3), "never": Grant(None, ALL, math.inf)}
        sooner, never = world.member(grant(50)), world.member(grant(5))
        world.tokens.renew(sooner, "sooner")
        world.tokens.renew(never, "never")
        await asyncio.sleep(100)
        assert len(sooner.socket.closed) == 1
        assert sooner.socket.closed[0][1] < 4
        assert never.socket.closed == []

    run(test)


@pytest.mark.parametrize(
    ("fresh", "reason"),
    [
        (None, "it is not known"),
        (grant(50, frozenset({"b"})), "does not cover this app"),
        (grant(50, scopes=frozenset({Scope.SEND})), "must hold gateway"),
        (grant(50, scopes=frozenset({Scope.GATEWAY})), "must hold send"),
    ],
)
def test_a_token_that_is_not_accepted_changes_nothing(
    run: Callable[..., None], fresh: Grant | None, reason: str
):
    async def test(world: World) -> None:
        if fresh is not None:
            world.door.grants["fresh"] = fresh
        member = world.member(grant(5))
        for times in (1, 2):  # the next is looked at as well
            world.tokens.renew(member, "fresh")
            await asyncio.sleep(1)
            assert world.refused == len(member.socket.frames) == times
            assert b"4001" in member.socket.frames[-1]
            assert reason.encode() in member.socket.frames[-1]
            assert (b'"error":40101' if fresh is None else b'"error":40301') in member.socket.frames[-1]
        assert member.grant == grant(5)
        await asyncio.sleep(100)
        [(_, at)] = member.socket.closed
        assert 5 <= at < 6

    run(test)


def test_a_token_needs_no_right_that_the_gateway_has_not(run: Callable[..., None]):
    async def test(world: World) -> None:
        listens = frozenset({Scope.GATEWAY})
        world.door.grants["fresh"] = grant(50, scopes=listens)
        member = world.member(grant(5, scopes=listens))
        world.tokens.renew(member, "fresh")
        await asyncio.sleep(20)
        assert member.socket.closed == member.socket.frames == []

    run(test)


def test_one_token_is_looked_at_at_a_time(run: Callable[..., None]):
    async def test(world: World) -> None:
        world.door.grants |= {"first": grant(50), "second": grant(90)}
        member, other = world.member(grant(5)), world.member(grant(5))
        world.door.answers.clear()
        for token in ("first", "second"):
            world.tokens.renew(member, token)
        world.tokens.renew(other, "second")
        assert b"still being checked" in member.socket.frames[0]
        assert b'"error":50301,"retryable":true,"retryAfter":1000}' in member.socket.frames[0]
        assert other.socket.frames == []
        world.door.answers.set()
        await asyncio.sleep(1)
        assert (member.grant, other.grant) == (grant(50), grant(90))
        world.tokens.renew(member, "second")
        await asyncio.sleep(1)
        assert member.grant == grant(90)
        assert world.refused == len(member.socket.frames) == 1

    run(test)


@pytest.mark.parametrize("end", ["it leaves", "the node ends"])
def test_a_token_that_is_looked_at_when_its_gateway_leaves_is_dropped(run: Callable[..., None], end: str):
    async def test(world: World) -> None:
        world.door.grants["fresh"] = grant(50)
        member = world.member(grant(5))
        world.door.answers.clear()
        world.tokens.renew(member, "fresh")
        await asyncio.sleep(1)
        if end == "it leaves":
            world.tokens.forget(member)
        else:
            world.tokens.close()
        world.door.answers.set()
        await asyncio.sleep(100)
        assert member.grant == grant(5)
        assert member.socket.closed == member.socket.frames == []

    run(test)


def test_where_nobody_is_asked_for_a_token_none_is_looked_at(run: Callable[..., None]):
    async def test(world: World) -> None:
        member = world.member(Grant(None, ALL, math.inf))
        world.tokens.renew(member, "nonsense")
        await asyncio.sleep(1)
        assert member.socket.frames == []

    run(test, is_off=True)
