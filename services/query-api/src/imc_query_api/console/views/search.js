/* Finds messages of an app: one by its id, or those of a group, a user and a time. */

import { h } from "../dom.js";
import { t } from "../language.js";
import { askToRecall, messageOf, messagePages } from "../messages.js";
import { empty, field, form, section } from "../parts.js";
import { polled } from "../polling.js";
import { go } from "../route.js";

export const search = {
  path: "search",
  label: "search",
  title: "search",
  titleOf: ({ app }) => t("searchIn", { app }),
  scopes: ["read"],
  needsApp: true,
  open({ api, session, query, signal }) {
    return [
      h("div", { class: "columns even" }, byId(query), byPlaceAndTime(query)),
      section(t("found"), {}, results({ api, session, query, signal })),
    ];
  },
};

const byId = ({ app, id }) =>
  section(
    t("byMessageId"),
    { class: "card" },
    form({
      fields: [
        field("messageId", {
          name: "id",
          required: true,
          inputmode: "numeric",
          pattern: "[0-9]+",
          value: id,
        }),
      ],
      action: t("find"),
      submitted: (values) => go("search", { app, id: values.id }),
    }),
  );

function byPlaceAndTime({ app, group, user, from, to }) {
  const fields = [
    field(t("group"), { name: "group", value: group, maxlength: 127 }),
    field(t("user"), { name: "user", value: user, maxlength: 127, hint: t("groupOrUser") }),
    field(t("from"), { name: "from", type: "datetime-local", step: 1, value: from }),
    field(t("until"), { name: "to", type: "datetime-local", step: 1, value: to }),
  ];
  return section(
    t("byPlaceAndTime"),
    { class: "card" },
    form({ kind: "two", fields, action: t("find"), submitted: (values) => go("search", { app, ...values }) }),
  );
}

function results({ api, session, query, signal }) {
  if (query.id) return oneMessage({ api, session, query, signal });
  const { app: appId, group: groupId, user: userId } = query;
  if (!groupId && !userId) return empty(t("nothingSearched"), t("nothingSearchedHint"));
  const times = { startTime: millisecondsOf(query.from), endTime: millisecondsOf(query.to) };
  return messagePages({ api, session, query: { appId, groupId, userId, ...times }, signal }).element;
}

const millisecondsOf = (text) => (text ? new Date(text).getTime() : null);

function oneMessage({ api, session, query, signal }) {
  const list = h("ol", { class: "entries" });
  const recall = session.grant.may("recall") ? (message) => askToRecall(api, message, () => again()) : null;
  const { note, again } = polled({
    load: () => api.get("/v1/queries/message", { appId: query.app, messageId: query.id }),
    showing: (message) => list.replaceChildren(messageOf(message, recall)),
    signal,
    seconds: 30,
  });
  return [note, list];
}
