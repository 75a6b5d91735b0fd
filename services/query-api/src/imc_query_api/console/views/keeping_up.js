/* Whether gateways keep up: those that are behind, and those that IMC has closed because they made no progress. */

import { h } from "../dom.js";
import { age, bytes, count, t } from "../language.js";
import { badge, section } from "../parts.js";
import { polled } from "../polling.js";
import { address } from "../route.js";
import { mostLagFirst } from "./gateways.js";

const LIMIT = 500;
const NO_PROGRESS = 4408;

/** The same of one app, if there is an `appId`. */
export function keepingUp({ api, appId, signal }) {
  const behind = h("p", { class: "summary" });
  const closed = h("p", { class: "summary" });
  const showing = (answers) => {
    behind.replaceChildren(...behindWords(answers.behind));
    closed.replaceChildren(...closedWords(answers.closed, appId));
  };
  const load = async () => {
    const list = (state) => api.get("/v1/gateways", { state, appId, limit: LIMIT });
    const [isBehind, isClosed] = await Promise.all([list("behind"), list("closed")]);
    return { behind: isBehind, closed: isClosed };
  };
  const { note } = polled({ load, showing, signal });
  return section(t("keepingUp"), {}, note, behind, closed);
}

function behindWords({ gateways, hasMore }) {
  if (!gateways.length) return [badge("good", t("none")), ` ${t("noneBehind")}`];
  const [worst] = mostLagFirst(gateways);
  return [
    badge("warn", countOf(gateways, hasMore)),
    ` ${t("someBehind")} `,
    h("a", { href: address("gateways", { app: worst.appId }) }, worst.gatewayId),
    `, ${worst.appId}, ${lagWords(worst)}`,
  ];
}

function lagWords({ lagEntries, lagBytes, lagSeconds }) {
  const size = lagEntries === null ? t("notKnown") : `${count(lagEntries)} ${t("entries")}`;
  return [size, lagBytes && bytes(lagBytes), lagSeconds >= 1 && age(lagSeconds)].filter(Boolean).join(" · ");
}

function closedWords({ gateways, hasMore }, appId) {
  const stuck = gateways.filter(({ lastClose }) => lastClose.code === NO_PROGRESS);
  if (!stuck.length && !hasMore) return [badge("good", t("none")), ` ${t("noneClosed")}`];
  return [
    badge("bad", countOf(stuck, hasMore)),
    ` ${t("someClosed")} `,
    h("a", { href: address("gateways", { app: appId }) }, t("showThem")),
  ];
}

const countOf = (found, hasMore) =>
  hasMore ? t("orMore", { count: count(found.length) }) : count(found.length);
