"""Keeps a search index of one app in SQLite, from its events over HTTP. See README.md."""

import argparse
import contextlib
import os
import random
import sqlite3
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx

SCHEMA = """
    CREATE VIRTUAL TABLE IF NOT EXISTS message
        USING fts5(content, groupId UNINDEXED, userId UNINDEXED, createTime UNINDEXED);
    CREATE TABLE IF NOT EXISTS position (app TEXT PRIMARY KEY, cursor TEXT NOT NULL);
"""
SEARCH = "SELECT rowid, groupId, userId, content FROM message(?) ORDER BY rank LIMIT 20"
MESSAGES, ERASED, GAP = (2001, 2002), 2006, 4002
FINAL = (400, 401, 403, 409)  # do not retry unchanged
BEFORE_A_GAP_MS = 180_000  # a message may be recalled for two minutes
WAIT_SECONDS = 25


class Mirror:
    """The messages of one app, as far as its events are read."""

    def __init__(self, client: httpx.Client, app: str, gateway: str, database: sqlite3.Connection) -> None:
        self.client, self.app, self.database = client, app, database
        self.path = f"/v1/gateways/{quote(app, safe='')}/{quote(gateway, safe='')}/events"
        database.executescript(SCHEMA)

    def read_page(self) -> bool:
        """Wait for a page of events, and take it. Returns whether there is more."""
        cursor = self.cursor()
        # A new index waits for nothing: it has the history to read.
        query = {"limit": 500, **({"wait": WAIT_SECONDS, "cursor": cursor} if cursor else {})}
        page = self.ask(self.path, query)
        # What the events change and where to go on from are stored in one step, so that an end at any moment
        # loses nothing and repeats nothing.
        with self.database:
            if cursor is None:
                self.read_history(0, page["cursor"])
            for event in page["events"]:
                self.take(event["code"], event["data"])
            self.database.execute("REPLACE INTO position VALUES (?, ?)", (self.app, page["cursor"]))
        return page["hasMore"]

    def take(self, code: int, data: dict[str, Any]) -> None:
        """Take an event. Codes that are not known are ignored."""
        if code in MESSAGES:
            self.put(data)
        elif code == ERASED:
            self.database.execute(
                "DELETE FROM message WHERE userId = :userId OR groupId = :groupId"
                " OR (:userId IS NULL AND :groupId IS NULL)",
                data,
            )
        elif code == GAP:
            self.read_history(self.newest() - BEFORE_A_GAP_MS, data["to"])

    def cursor(self) -> str | None:
        """Where to go on from; None if this is a new index."""
        found = self.database.execute("SELECT cursor FROM position WHERE app = ?", (self.app,)).fetchone()
        return found[0] if found else None

    def newest(self) -> int:
        """When the newest message here was created."""
        return self.database.execute("SELECT max(createTime) FROM message").fetchone()[0] or 0

    def put(self, message: dict[str, Any]) -> None:
        """Take a message as it is now. To take it twice changes nothing."""
        self.database.execute("DELETE FROM message WHERE rowid = ?", (int(message["messageId"]),))
        if message["status"] == 1:
            self.database.execute(
                "INSERT INTO message (rowid, content, groupId, userId, createTime)"
                " VALUES (:messageId, :content, :groupId, :userId, :createTime)",
                message,
            )

    def read_history(self, start: int, cursor: str) -> None:
        """Take all messages since a time, from a state that holds everything up to a cursor."""
        query = {"appId": self.app, "limit": 500, "minCursor": cursor}
        read: set[str] = set()
        # A group that gets a message meanwhile moves to the front of the list: until all are known.
        while new := set(self.groups(query, start)) - read:
            for group in new:
                for message in self.messages({**query, "groupId": group, "startTime": max(0, start)}):
                    self.put(message)
            read |= new

    def groups(self, query: dict[str, Any], start: int) -> Iterator[str]:
        """The groups with messages since a time, newest activity first."""
        page: dict[str, Any] = {"hasMore": True}
        while page["hasMore"]:
            page = self.ask("/v1/queries/groups", query)
            for group in page["groups"]:
                if group["updateTime"] < start:
                    return
                yield group["groupId"]
                query = {**query, "after": group["newMessage"]["messageId"]}

    def messages(self, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """All messages of a query, page by page, backwards."""
        page: dict[str, Any] = {"hasMore": True}
        while page["hasMore"]:
            page = self.ask("/v1/queries/messages", query)
            yield from page["messages"]
            query = {**query, "before": page["messages"][0]["messageId"]} if page["messages"] else query

    def ask(self, path: str, query: dict[str, Any]) -> dict[str, Any]:
        """The data of a reply. Raises `httpx.HTTPError` if it has none."""
        reply = self.client.get(path, params=query)
        if reply.status_code in FINAL:
            sys.exit(reply.json()["message"])
        return reply.raise_for_status().json()["data"]


def follow(mirror: Mirror) -> None:
    """Mirror an app until the process ends."""
    pause = 0.5
    while True:
        try:
            mirror.read_page()
            pause = 0.5
        except (httpx.HTTPError, ValueError) as fault:
            sys.stderr.write(f"tried again later: {fault!r}\n")
            time.sleep(random.uniform(0, pause))  # noqa: S311
            pause = min(pause * 2, 30)


def main() -> None:
    """Follow an app, or search in what is here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", help="the file of the index")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where IMC is")
    parser.add_argument("--app", default="demo", help="its appId")
    parser.add_argument("--gateway", default="mirror", help="the gatewayId of this process, and of no other")
    parser.add_argument("--search", help="words to look for, instead of following the app")
    options = parser.parse_args()
    with contextlib.closing(sqlite3.connect(options.database)) as database:
        if options.search:
            for row in database.execute(SEARCH, [options.search]):
                sys.stdout.write(" ".join(map(str, row)) + "\n")
            return
        token = os.environ.get("IMC_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with httpx.Client(base_url=options.url, headers=headers, timeout=WAIT_SECONDS + 30) as client:
            follow(Mirror(client, options.app, options.gateway, database))


if __name__ == "__main__":
    main()
