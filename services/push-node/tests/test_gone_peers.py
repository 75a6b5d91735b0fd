"""Peers that are gone without a word, and those that are only slow: minutes of each, in virtual time."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from imc_contracts.codes import CloseCode
from imc_push_node.gateway.gateway import Gateway, PauseReason
from imc_push_node.gateway.keepalive import Keepalive, Pulse
from imc_push_node.gateway.push_format import PushFormat
from imc_service.auth.grant import EVERYTHING
from imc_testkit.virtual_time import VirtualTimeLoop

STEP = 0.125
BUFFER_BYTES = 1_048_576
STALL_SECONDS = 30.0
"""As in the settings of push-node, `IMC_GATEWAY_BUFFER_BYTES` and `IMC_STALL_SECONDS`."""

PROMISED_SECONDS = 40.0
"""Within these a half-open gateway is dropped (docs/guarantees.md)."""

PONG = b"\x8a\x80abcd"
SHORT = 200_000
"""Bytes that a machine takes for a process that does not read."""


class Cable:
    """A socket of the node, the machine at its other end and the process there, step by step."""

    def __init__(self, push_rate: float, read_rate: float, window: float) -> None:
        self.push_rate, self.read_rate, self.window = push_rate, read_rate, window
        """Bytes a second that the node writes and the process takes; bytes that its machine takes for it."""
        self.is_plugged = True
        self.is_paused = self.has_ended = self.is_full = False
        self.written = self.taken = 0
        self.closed: CloseCode | None = None
        self.closed_at = math.inf
        self.pulse = Pulse(self)
        self._read = 0.0
        self._pings: list[int] = []
        self._unread_pongs = 0
        self._acknowledged_at = 0.0
        self._has_sent_into_window = False
        self._probes = 0
        self._probe_seconds = 0.2
        self._probe_at = math.inf

    # What the node asks of a socket.

    def write(self, frames: bytes) -> None:
        self.written += len(frames)
        if len(frames) == 2:
            self._pings.append(self.written)

    def close(self, code: CloseCode, reason: str) -> None:
        if not self.has_ended:
            self.has_ended, self.closed, self.closed_at = True, code, now()
            self.pulse.end()

    @property
    def ending(self) -> tuple[int, str]:
        return (1006 if self.closed is None else self.closed), ""

    def pause_reading(self) -> None:
        self.pulse.was_paused = self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False  # what has come meanwhile is read in the next turn of the loop

    def is_unreachable(self, seconds: float) -> bool:
        waits = self._has_sent_into_window or self._probes > 1
        return waits and now() - self._acknowledged_at >= seconds

    def enter(self, group: Any) -> Any:
        """It is in no group."""

    def leave(self) -> None:
        """It is in no group."""

    # What happens on the way.

    def step(self) -> None:
        if not self.is_full:
            self.written += round(self.push_rate * STEP)
        room = self.window - (self.taken - self._read)
        if self.is_plugged:
            self._take(int(min(room, self.written - self.taken)))
        elif self.written > self.taken and room > 0:
            self._has_sent_into_window = True
        if self.written > self.taken and room <= 0:
            self._probe()
        if not self.is_paused and self._unread_pongs:
            self._unread_pongs = 0
            self.pulse.hear(PONG)

    def _take(self, count: int) -> None:
        if count > 0:
            self.taken += count
            self._acknowledged_at = now()
            self._probe_at, self._probe_seconds = math.inf, 0.2
        self._read = min(self.taken, self._read + self.read_rate * STEP)
        while self._pings and self._pings[0] <= self._read:
            self._pings.pop(0)
            self._unread_pongs += 1

    def _probe(self) -> None:
        """The machine is full: ask it ever more rarely whether that is still so, as kernels do."""
        if self._probe_at == math.inf:
            self._probe_at = now() + self._probe_seconds
        if now() >= self._probe_at:
            self._probes += 1
            if self.is_plugged:
                self._probes, self._acknowledged_at = 0, now()
            self._probe_seconds = min(2 * self._probe_seconds, 120)
            self._probe_at = now() + self._probe_seconds


def now() -> float:
    return asyncio.get_running_loop().time()


async def live(cable: Cable, seconds: float, happens: Callable[[float, Gateway], None]) -> None:
    """Let time pass until the gateway is closed; ``happens`` is called at each step, with the time."""
    gateway = Gateway("app", "gateway", cable, EVERYTHING, PushFormat.V1)
    Keepalive().join(cable.pulse)
    step = 0
    while not cable.has_ended and now() < seconds:
        await asyncio.sleep(STEP)
        step += 1
        happens(now(), gateway)
        cable.step()
        unacknowledged = cable.written - cable.taken
        if unacknowledged > BUFFER_BYTES and not cable.is_full:
            cable.is_full = True
            gateway.pause(PauseReason.BUFFER)
        elif unacknowledged < BUFFER_BYTES / 4 and cable.is_full:
            cable.is_full = False
            gateway.resume(PauseReason.BUFFER)
        # As `Monitor` does each second.
        if step % 8 == 0 and cable.is_full and gateway.is_stuck(now(), STALL_SECONDS):
            cable.close(CloseCode.NO_PROGRESS, "no progress")


def in_virtual_time(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main)


def greet(time: float, gateway: Gateway) -> None:
    if time < 2 * STEP:
        gateway.socket.write(b"2000")
        gateway.resume(PauseReason.GREETING)


def let_it_wait(_time: float, _gateway: Gateway) -> None:
    """It resumes from far back, and has no greeting yet."""


def hold_forwards(time: float, gateway: Gateway) -> None:
    greet(time, gateway)
    if time > 5:
        gateway.pause(PauseReason.FORWARDS)


def hold_forwards_by_turns(time: float, gateway: Gateway) -> None:
    greet(time, gateway)
    (gateway.pause if time % 7 < 3.5 else gateway.resume)(PauseReason.FORWARDS)


def drain(time: float, gateway: Gateway) -> None:
    greet(time, gateway)
    if time > 5:
        gateway.waiting_bytes = 1
        gateway.close_when_answered(CloseCode.NODE_RESTARTS, "the node restarts")


STATES = (greet, let_it_wait, hold_forwards, hold_forwards_by_turns, drain)
RATES = (0, 400, 55_000, 500_000, 20_000_000)
"""Nothing is pushed; too little to fill the buffer; it fills when a pong is due; sooner; at once."""


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("push_rate", RATES)
def test_one_that_is_gone_is_dropped_in_time(
    state: Callable[[float, Gateway], None], push_rate: float
) -> None:
    for tenths in range(200, 360, 23):
        unplugged_at = tenths / 10
        cable = Cable(0 if state is let_it_wait else push_rate, read_rate=math.inf, window=SHORT)

        def happens(time: float, gateway: Gateway, cable: Cable = cable, at: float = unplugged_at) -> None:
            state(time, gateway)
            cable.is_plugged = time < at

        in_virtual_time(live(cable, 200, happens))
        assert cable.closed == CloseCode.NO_PROGRESS
        assert cable.closed_at > unplugged_at
        assert cable.closed_at - unplugged_at < PROMISED_SECONDS


@pytest.mark.parametrize("stuck_before", [1, 5, 12, 25])
def test_one_that_is_gone_after_its_machine_was_full_is_dropped_in_time(stuck_before: int) -> None:
    """Nothing is on its way to it then but the kernel's probes, which are rare."""
    cable = Cable(500_000, read_rate=math.inf, window=SHORT)
    unplugged_at = 20 + stuck_before

    def happens(time: float, gateway: Gateway) -> None:
        greet(time, gateway)
        cable.read_rate = math.inf if time < 20 else 0
        cable.is_plugged = time < unplugged_at

    in_virtual_time(live(cable, 200, happens))
    assert unplugged_at < cable.closed_at < unplugged_at + PROMISED_SECONDS


@pytest.mark.parametrize("push_rate", RATES)
@pytest.mark.parametrize("state", [greet, hold_forwards, hold_forwards_by_turns])
def test_one_that_answers_stays(state: Callable[[float, Gateway], None], push_rate: float) -> None:
    cable = Cable(push_rate, read_rate=math.inf, window=SHORT)
    in_virtual_time(live(cable, 300, state))
    assert cable.closed is None


@pytest.mark.parametrize("nap_seconds", [9, 14, 25])
@pytest.mark.parametrize("state", [greet, hold_forwards_by_turns])
def test_one_that_is_slow_stays(state: Callable[[float, Gateway], None], nap_seconds: int) -> None:
    """Its process takes 20,000 bytes a second, and for long nothing: its machine is full, but answers."""
    cable = Cable(500_000, read_rate=20_000, window=SHORT)

    def happens(time: float, gateway: Gateway) -> None:
        state(time, gateway)
        # It begins to rest when its buffer is full, and reads until its machine has taken something again.
        is_awake = time < 15 or time % (nap_seconds + 15) < 15
        cable.read_rate = 20_000 if is_awake else 0

    in_virtual_time(live(cable, 400, happens))
    assert cable.closed is None


@pytest.mark.parametrize("push_rate", [0, 400, 55_000])
def test_one_that_hangs_is_dropped_though_its_machine_takes_all(push_rate: float) -> None:
    cable = Cable(push_rate, read_rate=math.inf, window=math.inf)

    def happens(time: float, gateway: Gateway) -> None:
        greet(time, gateway)
        cable.read_rate = math.inf if time < 20 else 0

    in_virtual_time(live(cable, 200, happens))
    assert cable.closed == CloseCode.NO_PROGRESS
    assert cable.closed_at - 20 < PROMISED_SECONDS


def test_one_that_hangs_with_its_machine_full_is_dropped_as_stuck() -> None:
    cable = Cable(20_000_000, read_rate=math.inf, window=SHORT)

    def happens(time: float, gateway: Gateway) -> None:
        greet(time, gateway)
        cable.read_rate = math.inf if time < 20 else 0

    in_virtual_time(live(cable, 200, happens))
    assert cable.closed == CloseCode.NO_PROGRESS
    assert STALL_SECONDS - 1 < cable.closed_at - 20 < PROMISED_SECONDS
