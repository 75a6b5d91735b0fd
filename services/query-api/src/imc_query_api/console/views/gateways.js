/* Every gateway of every node: where it is, and how far it is behind. Above them those that IMC has closed. */

import { h } from "../dom.js";
import { age, bytes, count, t, textOr } from "../language.js";
import { ask, badge, empty, field, form, say, section } from "../parts.js";
import { Pager } from "../pager.js";
import { polled } from "../polling.js";
import { go } from "../route.js";
import { Table } from "../table.js";

const LIMIT = 500;

export const gateways = {
  path: "gateways",
  label: "gateways",
  title: "gateways",
  scopes: ["operate"],
  open({ api, session, query, signal }) {
    const pager = new Pager("gateways", query);
    const table = tableOf((gateway) => askToDisconnect(api, gateway, () => again()));
    const isById = query.order === "id";
    const closed = closedLately();
    const showing = ([answer, answerOfClosed]) => {
      const found = answer.gateways.map((gateway) => ({ ...gateway, now: now() }));
      table.show(isById ? found : mostLagFirst(found));
      pager.show(answer);
      closed.show(answerOfClosed);
    };
    const load = () => {
      const place = { appId: query.app, node: query.node, limit: LIMIT };
      return Promise.all([
        api.get("/v1/gateways", { ...place, after: query.after }),
        api.get("/v1/gateways", { ...place, state: "closed" }),
      ]);
    };
    const { note, again } = polled({ load, showing, signal, seconds: 3 });
    return [filter(session, query), note, closed.element, table.element, pager.element];
  },
};

/* Gateways that IMC has closed and that are not back, the newest first. Nothing is shown if there is none. */
function closedLately() {
  const table = new Table({
    caption: t("closedLately"),
    key: ({ appId, gatewayId }) => JSON.stringify([appId, gatewayId]),
    nothing: () => empty(t("noGateways")),
    columns: [
      gatewayColumn(),
      nodeColumn(),
      { label: t("wasBehind"), numeric: true, cell: lagOf },
      { label: t("closed"), wide: true, cell: (gateway) => [closeOf(gateway), reasonOf(gateway)] },
    ],
  });
  const more = h("p", { class: "below" });
  const hint = h("p", { class: "soft" }, t("closedLatelyHint"));
  const element = section(t("closedLately"), { hidden: true }, hint, table.element, more);
  return {
    element,
    show({ gateways: found, hasMore }) {
      element.hidden = !found.length;
      more.textContent = hasMore ? t("closedLatelyMore", { count: count(found.length) }) : "";
      const newestFirst = found.toSorted((one, other) => other.lastClose.time - one.lastClose.time);
      table.show(newestFirst.map((gateway) => ({ ...gateway, now: now() })));
    },
  };
}

function filter(session, query) {
  const { apps } = session.grant;
  const order = [
    ["lag", t("mostLagFirst")],
    ["id", t("byId")],
  ];
  const app = apps
    ? { options: [["", t("allApps")], ...apps.map((each) => [each, each])] }
    : { maxlength: 127, placeholder: t("allApps") };
  const fields = [
    field(t("app"), { name: "app", value: query.app, ...app }),
    field(t("node"), { name: "node", value: query.node, placeholder: t("allNodes") }),
    field(t("order"), { name: "order", options: order, value: query.order ?? "lag" }),
  ];
  return form({ kind: "filter", fields, action: t("show"), submitted: (values) => go("gateways", values) });
}

/** Gateways by their lag. One that is not known is that of a gateway which came from far behind. */
export const mostLagFirst = (found) => found.toSorted((one, other) => orderOf(other) - orderOf(one));
const orderOf = ({ lagEntries }) => lagEntries ?? Number.MAX_SAFE_INTEGER;

/* Rows are drawn again when what they are drawn of changes: ages change every ten seconds. */
const now = () => Math.floor(Date.now() / 10_000) * 10_000;

const gatewayColumn = () => ({
  label: t("gateway"),
  wide: true,
  cell: ({ appId, gatewayId }) => [h("strong", {}, gatewayId), h("span", { class: "below" }, appId)],
});

const nodeColumn = () => ({
  label: t("node"),
  wide: true,
  cell: ({ node, door, transport }) => [
    h("code", {}, node),
    h("span", { class: "below" }, `${t(`door_${door}`)} · ${t(`transport_${transport}`)}`),
  ],
});

const tableOf = (disconnect) =>
  new Table({
    caption: t("gateways"),
    key: ({ appId, gatewayId, door, node }) => JSON.stringify([appId, gatewayId, door, node]),
    nothing: () => empty(t("noGateways"), t("noGatewaysHint")),
    columns: [
      gatewayColumn(),
      nodeColumn(),
      {
        label: t("state"),
        cell: ({ state }) =>
          badge(state === "live" ? "good" : "warn", textOr(`state_${state.replaceAll(" ", "_")}`, state)),
      },
      { label: t("lag"), numeric: true, cell: lagOf },
      {
        label: t("connected"),
        numeric: true,
        cell: (gateway) => age((gateway.now - gateway.connectedAt) / 1000),
      },
      { label: t("sends"), numeric: true, cell: sendsOf },
      { label: t("lastClose"), cell: closeOf },
      { label: t("actions"), hidden: true, cell: (gateway) => disconnectButton(gateway, disconnect) },
    ],
  });

function lagOf({ lagEntries, lagBytes, lagSeconds }) {
  if (lagEntries === 0) return h("span", { class: "soft" }, t("none"));
  const time = lagSeconds >= 1 && age(lagSeconds);
  if (lagEntries === null) return [badge("warn", t("notKnown")), time && h("span", { class: "below" }, time)];
  return [
    badge("warn", count(lagEntries)),
    h("span", { class: "below" }, [bytes(lagBytes), time].filter(Boolean).join(" · ")),
  ];
}

function sendsOf({ sendsAccepted, sendsRefused }) {
  return [
    count(sendsAccepted),
    sendsRefused
      ? h("span", { class: "below bad" }, t("refusedCount", { count: count(sendsRefused) }))
      : null,
  ];
}

function closeOf({ lastClose, now: time }) {
  if (!lastClose) return h("span", { class: "soft" }, t("none"));
  const { code, reason, time: closedAt } = lastClose;
  const words = textOr(`close${code}`, reason || "");
  return [
    h("code", { title: reason || null }, code),
    h(
      "span",
      { class: "below" },
      [words, t("ago", { age: age((time - closedAt) / 1000) })].filter(Boolean).join(" · "),
    ),
  ];
}

/* What the close frame said, without the words that are beside the code already. */
function reasonOf({ lastClose: { reason } }) {
  const rest = reason.replace(/^no progress: /, "");
  return rest ? h("span", { class: "below", lang: "en" }, rest) : null;
}

const disconnectButton = (gateway, disconnect) =>
  h(
    "button",
    {
      class: "quiet small",
      "aria-label": t("disconnectGateway", { gateway: gateway.gatewayId }),
      onclick: () => disconnect(gateway),
    },
    t("disconnect"),
  );

function askToDisconnect(api, { appId, gatewayId }, done) {
  ask({
    title: t("disconnectTitle", { gateway: gatewayId }),
    text: t("disconnectText"),
    fields: [field(t("reason"), { name: "reason", maxlength: 100, hint: t("optional") })],
    action: t("disconnect"),
    danger: true,
    run: async ({ reason }) => {
      const path = `/v1/gateways/${encodeURIComponent(appId)}/${encodeURIComponent(gatewayId)}/disconnect`;
      const { disconnected } = await api.post(path, { reason: reason || null });
      say(t("disconnected", { gateway: gatewayId, count: count(disconnected) }));
      done();
    },
  });
}
