/* All apps: what each does, and what it may do. */

import { h } from "../dom.js";
import { age, bytes, count, rate, t, textOr } from "../language.js";
import { badge, empty, field, form } from "../parts.js";
import { Pager } from "../pager.js";
import { polled } from "../polling.js";
import { address, go } from "../route.js";
import { Table } from "../table.js";

const LIMIT = 50;
const MOST_BEHIND = 500;

export const apps = {
  path: "apps",
  label: "apps",
  title: "apps",
  scopes: ["operate"],
  open({ api, query, signal }) {
    const order = query.order === "id" ? "id" : "noisiest";
    const table = tableOf();
    const pager = new Pager("apps", query);
    const showing = ({ page, behind }) => {
      table.show(page.apps.map((app) => ({ ...app, behind: behindOf(app, behind) })));
      pager.show(page);
    };
    const load = async () => {
      const [page, behind] = await Promise.all([
        api.get("/v1/apps", { order, after: query.after, limit: LIMIT }),
        /* Another service answers this one: while it does not, the apps are shown all the same. */
        api.get("/v1/gateways", { state: "behind", limit: MOST_BEHIND }).catch(() => null),
      ]);
      return { page, behind };
    };
    const { note } = polled({ load, showing, signal });
    return [orderForm(order), note, table.element, pager.element];
  },
};

/* How many gateways of an app are behind. The list is by appId: what comes after its end is not known. */
function behindOf({ appId }, behind) {
  if (!behind) return null;
  const { gateways, hasMore } = behind;
  if (hasMore && appId >= (gateways.at(-1)?.appId ?? "")) return null;
  return gateways.filter((gateway) => gateway.appId === appId).length;
}

function orderForm(order) {
  const options = [
    ["noisiest", t("noisiestFirst")],
    ["id", t("byId")],
  ];
  const chooser = field(t("order"), { name: "order", options, value: order });
  return form({
    kind: "filter",
    fields: [chooser],
    action: t("show"),
    submitted: (values) => go("apps", values),
  });
}

const tableOf = () =>
  new Table({
    caption: t("apps"),
    key: ({ appId }) => appId,
    nothing: () => empty(t("noApps"), t("noAppsHint")),
    columns: [
      {
        label: t("app"),
        wide: true,
        cell: ({ appId, isSuspended }) => [
          h("a", { href: address("overview", { app: appId }) }, appId),
          isSuspended ? [" ", badge("bad", t("suspended"))] : null,
        ],
      },
      { label: t("sends"), numeric: true, cell: ({ sendsPerSecond }) => rate(sendsPerSecond) },
      {
        label: t("refusedSends"),
        numeric: true,
        cell: ({ sendsRefusedPerSecond: refused }) => (refused ? badge("warn", rate(refused)) : rate(0)),
      },
      { label: t("pushes"), numeric: true, cell: ({ pushesPerSecond }) => rate(pushesPerSecond) },
      { label: t("backlog"), numeric: true, cell: backlogOf },
      {
        label: t("gateways"),
        numeric: true,
        cell: ({ appId, gateways, behind }) => [
          h("a", { href: address("gateways", { app: appId }) }, count(gateways)),
          behindWords(behind),
        ],
      },
      { label: t("deadLetters"), numeric: true, cell: deadLettersOf },
      { label: t("quotas"), cell: quotasOf },
    ],
  });

function backlogOf({ backlogEntries, backlogSeconds }) {
  if (!backlogEntries) return count(0);
  return [count(backlogEntries), backlogSeconds ? h("span", { class: "below" }, age(backlogSeconds)) : null];
}

function behindWords(behind) {
  if (behind === 0) return null;
  const known = behind === null ? t("notKnown") : count(behind);
  return h("span", { class: "below bad" }, t("behindCount", { count: known }));
}

function deadLettersOf({ appId, deadLetters }) {
  if (!deadLetters) return count(0);
  return h("a", { href: address("dead-letters", { app: appId }), class: "badge bad" }, count(deadLetters));
}

const FORMATS = { sendsPerSecond: rate, backlogBytes: bytes };

function quotasOf({ quotas, retentionDays = null, abandonedGroupDays = null }) {
  const limits = { ...quotas, retentionDays, abandonedGroupDays };
  const set = Object.entries(limits).filter(([, value]) => value !== null);
  if (!set.length) return h("span", { class: "soft" }, t("noQuota"));
  return set.map(([key, value]) =>
    h(
      "p",
      { class: "quota" },
      h("span", { class: "soft" }, textOr(`quota_${key}`, key)),
      " ",
      (FORMATS[key] ?? count)(value),
    ),
  );
}
