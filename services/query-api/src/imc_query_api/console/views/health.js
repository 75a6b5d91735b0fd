/* Whether each process, Redis and the database can do their work, and why not. */

import { freshId, h } from "../dom.js";
import { age, bytes, count, t, textOr } from "../language.js";
import { badge, empty, section } from "../parts.js";
import { polled } from "../polling.js";
import { Table } from "../table.js";

/** The health of the whole installation. */
export function health({ api, signal }) {
  const table = processTable();
  const summary = h("p", { class: "summary" });
  const stores = h("div", { class: "stores" });
  const showing = ({ version, processes, redis, database }) => {
    const failing = processes.filter(({ ready }) => !ready).length;
    const words = failing
      ? t("notReadyOf", { failing, all: processes.length })
      : t("allReady", { all: processes.length });
    summary.replaceChildren(
      badge(failing ? "bad" : "good", failing ? t("notReady") : t("ready")),
      ` ${words} `,
      h("span", { class: "soft" }, t("versionIs", { version })),
    );
    table.show(
      processes.toSorted(
        (one, other) =>
          one.ready - other.ready || one.name.localeCompare(other.name) || one.id.localeCompare(other.id),
      ),
    );
    stores.replaceChildren(redisCard(redis), databaseCard(database));
  };
  const { note } = polled({ load: () => api.get("/v1/installation"), showing, signal });
  return section(t("health"), {}, note, summary, table.element, stores);
}

function processTable() {
  return new Table({
    caption: t("processes"),
    key: ({ name, id }) => `${name} ${id}`,
    nothing: () => empty(t("noProcesses"), t("noProcessesHint")),
    columns: [
      {
        label: t("process"),
        cell: ({ name, id }) => [h("strong", {}, name), h("code", { class: "below" }, id)],
      },
      {
        label: t("state"),
        cell: ({ ready, reasons }) => [
          ready ? badge("good", t("ready")) : badge("bad", t("notReady")),
          reasonsOf(reasons),
        ],
      },
      { label: t("address"), cell: ({ address: at }) => h("code", {}, at) },
      { label: t("version"), cell: ({ version }) => version },
      {
        label: t("runsFor"),
        numeric: true,
        cell: ({ startedAt, lastSeen }) => age((lastSeen - startedAt) / 1000),
      },
    ],
  });
}

const reasonsOf = (reasons) =>
  Object.entries(reasons ?? {}).map(([part, reason]) =>
    h("p", { class: "below", lang: "en" }, `${part}: ${reason}`),
  );

function redisCard({ ready, reason, isCluster, masters }) {
  const facts = masters.map(
    ({ address, usedMemoryBytes: used, maxMemoryBytes: most, replicas, isPersistent }) => [
      address,
      [
        used === null ? null : most ? t("memoryOf", { used: bytes(used), most: bytes(most) }) : bytes(used),
        replicas === null ? null : t("replicas", { count: count(replicas) }),
        isPersistent === false ? t("notPersistent") : null,
      ],
    ],
  );
  return card(isCluster ? "Redis Cluster" : "Redis", { ready, reason, facts });
}

function databaseCard({ ready, reason, kind, version }) {
  return card(t("database"), { ready, reason, facts: [[textOr(`database_${kind}`, kind), [version]]] });
}

/* `facts` are pairs of a name and what is told of it; what is null is not known. */
function card(name, { ready, reason, facts }) {
  const id = freshId("store");
  const told = facts.map(([key, values]) => [key, values.filter((value) => value !== null).join(" · ")]);
  return h(
    "section",
    { class: "card", "aria-labelledby": id },
    h("h3", { id }, name, " ", ready ? badge("good", t("ready")) : badge("bad", t("notReady"))),
    reason && h("p", { class: "below", lang: "en" }, reason),
    h(
      "dl",
      { class: "facts" },
      told.map(([key, value]) => h("div", {}, h("dt", {}, h("code", {}, key)), h("dd", {}, value))),
    ),
  );
}
