"""The settings of push-node."""

from typing import Any

from imc_service.app_metrics import AppMetricsSettings
from imc_service.auth.settings import ServiceAccessSettings
from imc_service.http.guard.settings import GuardSettings
from imc_service.settings import port
from imc_service.urls import HttpUrl, RedisUrl, WebSocketUrl
from pydantic import Field


def drain_seconds(default: float) -> Any:
    """The field for the time in which gateways are sent away."""
    return Field(
        default, ge=0, description="over how long gateways are sent away when the process is told to stop"
    )


class PushNodeSettings(AppMetricsSettings, ServiceAccessSettings, GuardSettings):
    """Read from the environment; docs/settings.md lists them."""

    port: int = port(8003)
    redis_url: RedisUrl = Field(description="the Redis that holds the logs")
    command_api_url: HttpUrl = Field(description="where to forward what gateways send")
    query_api_url: HttpUrl | None = Field(
        None,
        description="where to ask for what the log has forgotten; without it a gateway whose cursor is that "
        "old is told of a gap",
    )
    advertise_url: WebSocketUrl | None = Field(
        None,
        description="where gateways reach this node and no other, such as ws://push-node-0.push-node:8003 or "
        "wss://HOST/push/0; without it no gateway is pinned to it",
    )
    node_number: int | None = Field(
        None, ge=0, description="the number of this node among those with a route of their own, from 0 on"
    )
    routed_nodes: int | None = Field(
        None,
        ge=1,
        description="how many nodes have a route of their own; gateways are pinned to these alone",
    )
    max_frame_bytes: int = Field(2_097_152, ge=1024, description="largest frame a gateway may send")
    max_bad_frames_per_minute: int = Field(
        6000,
        ge=1,
        description="sends and tokens of one gateway that are refused as malformed, per minute, before it is "
        "closed with 1008",
    )
    max_idle_frames_per_minute: int = Field(
        12_000,
        ge=1,
        description="frames of one gateway that carry no message (pings, pongs, fragments under 126 bytes, "
        "binary frames on the Java door) per minute before it is closed with 1008",
    )
    frame_seconds: float = Field(
        60, gt=0, description="how long a gateway may take to send a frame, all its fragments together"
    )
    unfinished_node_bytes: int = Field(
        134_217_728,
        ge=1024,
        description="bytes of unfinished frames of all gateways before the oldest is closed with 1013",
    )
    gateway_buffer_bytes: int = Field(
        1_048_576, ge=1024, description="pushes buffered for one gateway before it reads from the log instead"
    )
    stall_seconds: float = Field(
        30, gt=0, description="how long a gateway may take nothing of a full buffer before it is closed"
    )
    linger_seconds: float = Field(
        30, ge=0, description="how long an app is still followed after its last gateway left"
    )
    forward_seconds: float = Field(
        5, gt=0, description="how long a gateway's send is tried while command-api is away"
    )
    forward_gateway_bytes: int = Field(
        4_194_304, ge=1024, description="sends of one gateway that may wait before it is read no further"
    )
    forward_node_bytes: int = Field(
        268_435_456, ge=1024, description="sends of all gateways that may wait before none is read further"
    )
    listed_node_groups: int = Field(
        4_000_000,
        ge=1,
        description="groups that gateways with groups=listed may hold together before no more are taken",
    )
    drain_seconds: float = drain_seconds(10)

    @property
    def own_address(self) -> str | None:
        """Where gateways reach this node and no other; None if nothing leads there."""
        if self.node_number is None or self.routed_nodes is None or self.node_number < self.routed_nodes:
            return self.advertise_url
        return None
