/* Whether gateways keep up, what the installation does, and whether each of its parts can do its work. */

import { Chart } from "../chart.js";
import { h } from "../dom.js";
import { count, measure, minuteOf, rate, t } from "../language.js";
import { empty, field, form, section } from "../parts.js";
import { polled } from "../polling.js";
import { address, go } from "../route.js";
import { Table } from "../table.js";
import { health } from "./health.js";
import { keepingUp } from "./keeping_up.js";

const MINUTES = 60;
const LEAST_SECONDS = 10;

export const overview = {
  path: "overview",
  label: "overview",
  title: "overview",
  scopes: ["operate"],
  open({ api, session, query, signal }) {
    const appId = query.app ?? (session.grant.apps ? (session.app ?? session.grant.apps[0]) : null);
    return [
      keepingUp({ api, appId, signal }),
      activity({ api, session, appId, signal }),
      session.grant.apps === null && health({ api, signal }),
    ].filter(Boolean);
  },
};

function activity({ api, session, appId, signal }) {
  const charts = chartsOf(appId);
  const figures = figuresOf();
  const showing = ({ minutes }) => {
    const rows = perSecond(minutes, Date.now());
    for (const chart of charts) chart.show(rows);
    figures.show(rows);
  };
  const load = () => api.get("/v1/installation/activity", { minutes: MINUTES, appId });
  const { note } = polled({ load, showing, signal });
  const title = appId ? t("lastHourOf", { app: appId }) : t("lastHour");
  return section(
    title,
    {},
    appPart(session, appId),
    note,
    h(
      "div",
      { class: "charts" },
      charts.map(({ element }) => element),
    ),
    figures.element,
  );
}

/* Chooses between the whole installation and one app. */
function appPart(session, appId) {
  const { apps } = session.grant;
  if (apps?.length === 1) return null;
  const options = apps?.map((app) => [app, app]);
  const chooser = options
    ? field(t("app"), { name: "app", options, value: appId })
    : field(t("app"), { name: "app", value: appId, maxlength: 127, placeholder: t("allApps") });
  const all = appId && !apps && h("a", { class: "button quiet", href: address("overview") }, t("allApps"));
  return form({
    kind: "filter",
    fields: [chooser],
    action: t("show"),
    more: [all].filter(Boolean),
    submitted: ({ app }) => go("overview", { app }),
  });
}

/* Counts of a minute become rates. The minute that runs is counted up to now, and left out while it is too young. */
function perSecond(minutes, now) {
  return minutes
    .map((row) => ({ ...row, seconds: Math.min(60, (now - row.time) / 1000) }))
    .filter(({ seconds }) => seconds >= LEAST_SECONDS)
    .map(({ seconds, ...row }) => ({
      ...row,
      sends: row.sends / seconds,
      sendsRefused: row.sendsRefused / seconds,
      pushes: row.pushes / seconds,
    }));
}

const series = (name, key, tone) => ({ name, tone, value: (row) => row[key] ?? null });
const milliseconds = (value) => `${measure(value)} ms`;

/* Of one app, neither the backlog nor the latency is counted by the minute. */
const chartsOf = (appId) => [
  new Chart({
    title: t("sends"),
    format: rate,
    series: [series(t("accepted"), "sends", "first"), series(t("refused"), "sendsRefused", "second")],
  }),
  new Chart({ title: t("pushes"), format: rate, series: [series(t("written"), "pushes", "first")] }),
  ...(appId ? [] : [backlogChart(), latencyChart()]),
];

const backlogChart = () =>
  new Chart({
    title: t("backlog"),
    format: measure,
    smallest: 4,
    series: [series(t("entries"), "backlogEntries", "first")],
  });

const latencyChart = () =>
  new Chart({
    title: t("latency"),
    format: milliseconds,
    series: [series(t("p50"), "sendMsP50", "first"), series(t("p99"), "sendMsP99", "second")],
  });

/* The figures of the charts as a table, newest first, built when it is opened. */
function figuresOf() {
  const known = (format) => (value) => (value === null || value === undefined ? "–" : format(value));
  const column = (label, key, format) => ({ label, numeric: true, cell: (row) => known(format)(row[key]) });
  const table = new Table({
    caption: t("figures"),
    key: (row) => row.time,
    nothing: () => empty(t("noActivity"), t("noActivityHint")),
    columns: [
      column(t("minute"), "time", minuteOf),
      column(t("sends"), "sends", rate),
      column(t("refusedSends"), "sendsRefused", rate),
      column(t("pushes"), "pushes", rate),
      column(t("backlog"), "backlogEntries", count),
      column(t("p50"), "sendMsP50", milliseconds),
      column(t("p99"), "sendMsP99", milliseconds),
    ],
  });
  let newest = [];
  const update = () => details.open && table.show(newest.toReversed());
  const details = h(
    "details",
    { class: "figures", ontoggle: update },
    h("summary", {}, t("figures")),
    table.element,
  );
  return {
    element: details,
    show(rows) {
      newest = rows;
      update();
    },
  };
}
