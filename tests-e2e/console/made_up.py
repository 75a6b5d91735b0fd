"""What the operator's calls answer for a busy installation that is made up, the same each time."""

import json
import math
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]

NOW = 1_795_953_600_000
"""The time of everything here, in Unix milliseconds; a page is told that it is this time."""

MINUTE = 60_000
HOUR = 60 * MINUTE


def answer(method: str, url: str, body: Json | None) -> Json | None:
    """The envelope of an operator's call; None for any other call."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    if method == "GET" and (build := _QUERIES.get(parts.path)):
        return _success(build(query))
    if method == "POST" and parts.path.endswith("/disconnect"):
        return _success({"disconnected": 1})
    if method == "POST" and parts.path.startswith("/v1/dead-letters/"):
        return _success({"done": len((body or {})["letterIds"]), "failed": []})
    return None


def _success(data: Any) -> Json:
    return {"success": True, "code": 0, "message": "success", "data": data}


def failure(code: int, message: str) -> Json:
    """The envelope of a failure."""
    return {"success": False, "code": code, "message": message, "data": None}


def _installation(_: Json) -> Json:
    kinds = ["command-api", "command-api", "projector", "query-api", "push-node", "push-node"]
    processes = [
        {
            "name": f"imc-{kind}",
            "id": f"{kind}-{index}",
            "address": f"10.1.4.{20 + index}:8000",
            "version": "0.1.0",
            "startedAt": NOW - (3 + 11 * index) * HOUR,
            "lastSeen": NOW - 1200,
            "ready": kind != "projector",
            "reasons": {}
            if kind != "projector"
            else {"database": "no row was written for 8 s: the database is read-only"},
        }
        for index, kind in enumerate(kinds)
    ]
    return {
        "version": "0.1.0",
        "processes": processes,
        "redis": {
            "ready": True,
            "reason": None,
            "isCluster": False,
            "masters": [
                {
                    "address": "10.1.4.10:6379",
                    "usedMemoryBytes": 412_876_800,
                    "maxMemoryBytes": 4 * 2**30,
                    "replicas": 1,
                    "isPersistent": True,
                }
            ],
        },
        "database": {"ready": True, "reason": None, "kind": "mysql", "version": "11.4.2-MariaDB"},
    }


def _activity(query: Json) -> Json:
    return {"minutes": [_minute(index, of_one_app="appId" in query) for index in range(60)]}


def _minute(index: int, *, of_one_app: bool) -> Json:
    share = 0.2 if of_one_app else 1.0
    wave = 1 + 0.35 * math.sin(index / 7) + 0.12 * math.sin(index * 2.4)
    trouble = max(0, index - 50)
    sends = int(share * 74_000 * wave)
    return {
        "time": NOW - (60 - index) * MINUTE,
        "sends": sends,
        "sendsRefused": int(share * (900 if 20 < index < 26 else 12 * trouble)),
        "pushes": sends * 38,
        "backlogEntries": None if of_one_app else int(40 + 30 * wave + 380 * trouble**1.6),
        "sendMsP50": None if of_one_app else round(2.1 * wave + 0.2 * trouble, 2),
        "sendMsP99": None if of_one_app else round(9.5 * wave + 3 * trouble, 2),
    }


_QUOTAS = {"sendsPerSecond": 1000.0, "sendBurst": 1000, "gateways": 100, "backlogBytes": None}


def _apps(query: Json) -> Json:
    names = ["live-room", "game-eu", "customer-service", "office", "demo"]
    apps: list[Json] = [
        {
            "appId": name,
            "sendsPerSecond": 900 / 4**index,
            "sendsRefusedPerSecond": 14.5 if index == 1 else 0,
            "pushesPerSecond": 41_000 / 3**index,
            "backlogEntries": [14_210, 96, 12, 0, 0][index],
            "backlogSeconds": [51, 1, 0, 0, 0][index],
            "gateways": [64, 24, 8, 3, 1][index],
            "deadLetters": 3 if index == 2 else 0,
            "quotas": _QUOTAS if index < 2 else None,
            "retentionDays": None,
            "abandonedGroupDays": None,
            "isSuspended": name == "office",
        }
        for index, name in enumerate(names)
    ]
    return {
        "apps": sorted(apps, key=lambda app: app["appId"]) if query.get("order") == "id" else apps,
        "hasMore": False,
        "next": None,
    }


def _close(time: int) -> Json:
    return {"code": 4408, "reason": "no progress: took nothing for 30 seconds", "time": time}


def _gateways(query: Json) -> Json:
    gateways = [
        {
            "appId": app,
            "gatewayId": f"{app}-gw-{index}",
            "door": "java" if app == "office" else "v1",
            "transport": "websocket",
            "node": f"10.1.4.{24 + index % 2}:8000",
            "connectedAt": NOW - (index + 1) * 3 * HOUR,
            "state": "lagging" if (app, index) == ("live-room", 2) else "live",
            "lagEntries": 14_870 if (app, index) == ("live-room", 2) else 0,
            "lagBytes": 5_120_400 if (app, index) == ("live-room", 2) else 0,
            "lagSeconds": 43.0 if (app, index) == ("live-room", 2) else 0.0,
            "sendsAccepted": 18_204 + 977 * index,
            "sendsRefused": 41 if app == "office" else 0,
            "groupsHeld": None,
            "lastClose": _close(NOW - 40 * MINUTE) if (app, index) == ("live-room", 2) else None,
        }
        for app in ("game-eu", "live-room", "office")
        for index in range(3)
    ]
    closed = {
        **gateways[1],
        "gatewayId": "game-eu-gw-4",
        "state": "closed",
        "lagEntries": 9800,
        "lagBytes": 3_400_120,
        "lagSeconds": 31.0,
        "lastClose": _close(NOW - 4 * MINUTE),
    }
    state = query.get("state", "connected")
    listed = [closed] if state == "closed" else gateways
    if state == "behind":
        listed = [each for each in gateways if each["lagEntries"]]
    wanted = query.get("appId")
    return {
        "gateways": [each for each in listed if wanted in (None, each["appId"])],
        "hasMore": False,
        "next": None,
    }


def _dead_letters(_: Json) -> Json:
    letters = [
        {
            "appId": "customer-service",
            "letterId": f"{NOW - index * HOUR}-0",
            "logId": f"{NOW - index * HOUR - 41}-0",
            "kind": "send",
            "reason": "Data too long for column 'content' at row 1 (1406)",
            "time": NOW - index * HOUR,
        }
        for index in range(3)
    ]
    return {"letters": letters, "hasMore": False, "next": None}


_QUERIES = {
    "/v1/installation": _installation,
    "/v1/installation/activity": _activity,
    "/v1/apps": _apps,
    "/v1/gateways": _gateways,
    "/v1/dead-letters": _dead_letters,
}


async def answer_operators_calls(page: Any) -> None:
    """Let a page of a browser get these answers; all its other calls go on to IMC."""

    async def answered(route: Any) -> None:
        request = route.request
        made_up = answer(request.method, request.url, json.loads(request.post_data or "null"))
        if made_up is None:
            await route.continue_()
        else:
            await route.fulfill(json=made_up)

    await page.route("**/v1/**", answered)
