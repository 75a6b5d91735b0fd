/* One group: its messages, and a way to send one. */

import { madeOnce } from "../api.js";
import { h } from "../dom.js";
import { t } from "../language.js";
import { messagePages } from "../messages.js";
import { empty, field, form, say, section } from "../parts.js";
import { address } from "../route.js";
import { groups } from "./groups.js";

export const group = {
  path: "group",
  title: "group",
  titleOf: ({ group: groupId }) => groupId ?? t("group"),
  scopes: ["read", "send", "notice"],
  needsApp: true,
  parent: groups,
  open({ api, session, query, signal }) {
    const { grant } = session;
    return pageOfGroup({ session, query, path: "group" }, (ofGroup) => {
      const history = grant.may("read") ? messagePages({ api, session, query: ofGroup, signal }) : null;
      const sent = (cursor) => history?.showNewest(cursor);
      return [history?.element, grant.may("send") && sendForm({ api, ofGroup, sent })];
    });
  },
};

/** A page of a group: the ways to its other pages, and its `parts(ofGroup)`; what is absent of them is left out. */
export function pageOfGroup({ session, query, path }, parts) {
  if (!query.group)
    return empty(
      t("noGroupNamed"),
      null,
      h("a", { class: "button primary", href: address("groups", { app: query.app }) }, t("groups")),
    );
  return [
    groupTabs(session, query, path),
    h("div", { class: "columns" }, parts({ appId: query.app, groupId: query.group })),
  ];
}

/* The ways between the messages and the notices of a group. */
function groupTabs(session, { app, group: groupId }, current) {
  const tab = (path, key) =>
    h(
      "a",
      { href: address(path, { app, group: groupId }), "aria-current": path === current ? "page" : null },
      t(key),
    );
  return h(
    "nav",
    { class: "tabs", "aria-label": t("partsOfGroup") },
    h("a", { href: address("groups", { app }) }, `← ${t("groupsOf", { app })}`),
    session.grant.may("read", "send") && tab("group", "messages"),
    session.grant.may("read", "notice") && tab("notices", "notices"),
  );
}

function sendForm({ api, ofGroup, sent }) {
  const send = madeOnce(api, "/v1/commands/send-message");
  async function submitted({ userId, content, type }, element) {
    const { messageId, cursor } = await send({ ...ofGroup, userId, content, type: type || null });
    element.elements.content.value = "";
    element.elements.content.focus();
    say(t("sentAs", { id: messageId }));
    sent(cursor);
  }
  const fields = [
    field(t("user"), { name: "userId", required: true, maxlength: 127, value: "operator" }),
    field(t("content"), { name: "content", rows: 3 }),
    field(t("type"), { name: "type", inputmode: "numeric", pattern: "-?[0-9]*", hint: t("typeHint") }),
  ];
  return section(t("sendTitle"), { class: "card" }, form({ fields, action: t("send"), submitted }));
}
