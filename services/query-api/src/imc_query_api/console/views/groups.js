/* The groups of an app, newest activity first. */

import { h } from "../dom.js";
import { count, t } from "../language.js";
import { empty, field, form, moment, section } from "../parts.js";
import { Pager } from "../pager.js";
import { polled } from "../polling.js";
import { address, go } from "../route.js";
import { Table } from "../table.js";

const LIMIT = 50;

export const groups = {
  path: "groups",
  label: "groups",
  title: "groups",
  titleOf: ({ app }) => t("groupsOf", { app }),
  scopes: ["read", "send", "notice"],
  needsApp: true,
  open({ api, session, query, signal }) {
    const opener = openForm(query.app);
    return session.grant.may("read") ? [...list({ api, query, signal }), opener] : opener;
  },
};

function list({ api, query, signal }) {
  const table = tableOf(query.app);
  const pager = new Pager("groups", query);
  const showing = ({ groups: found, hasMore }) => {
    table.show(found);
    pager.show({ hasMore, next: found.at(-1)?.newMessage.messageId });
  };
  const load = () =>
    api.get("/v1/queries/groups", { appId: query.app, userId: query.user, after: query.after, limit: LIMIT });
  const { note } = polled({ load, showing, signal });
  const user = field(t("user"), {
    name: "user",
    value: query.user,
    maxlength: 127,
    placeholder: t("anyUser"),
  });
  const filter = form({
    kind: "filter",
    fields: [user],
    action: t("show"),
    submitted: (values) => go("groups", { app: query.app, ...values }),
  });
  return [filter, note, table.element, pager.element];
}

const tableOf = (app) =>
  new Table({
    caption: t("groups"),
    key: ({ groupId }) => groupId,
    nothing: () => empty(t("noGroups"), t("noGroupsHint")),
    columns: [
      {
        label: t("group"),
        wide: true,
        cell: ({ groupId }) => h("a", { href: address("group", { app, group: groupId }) }, groupId),
      },
      { label: t("newestMessage"), cell: newestOf },
      { label: t("time"), wide: true, cell: ({ updateTime }) => moment(updateTime) },
      { label: t("messages"), numeric: true, cell: ({ messageTotal }) => count(messageTotal) },
    ],
  });

const newestOf = ({ newMessage }) =>
  h(
    "span",
    { class: "preview" },
    h("strong", {}, newMessage.userId),
    " ",
    newMessage.status === 1 ? newMessage.content : h("em", {}, t("isRecalled")),
  );

const openForm = (app) =>
  section(
    t("openGroup"),
    { class: "card" },
    form({
      kind: "filter",
      fields: [
        field(t("group"), { name: "group", required: true, maxlength: 127, hint: t("openGroupHint") }),
      ],
      action: t("open"),
      submitted: ({ group }) => go("group", { app, group }),
    }),
  );
