/* The notices of a group, and a way to publish one. */

import { madeOnce } from "../api.js";
import { h } from "../dom.js";
import { t } from "../language.js";
import { askToDelete, noticeOf, pages } from "../messages.js";
import { checkbox, empty, field, form, say, section } from "../parts.js";
import { go } from "../route.js";
import { pageOfGroup } from "./group.js";
import { groups } from "./groups.js";

export const notices = {
  path: "notices",
  title: "notices",
  titleOf: ({ group }) => t("noticesOf", { group: group ?? "" }),
  scopes: ["read", "notice"],
  needsApp: true,
  parent: groups,
  open({ api, session, query, signal }) {
    const { grant } = session;
    return pageOfGroup({ session, query, path: "notices" }, (ofGroup) => {
      const history = grant.may("read") ? list({ api, session, query, ofGroup, signal }) : null;
      const published = (cursor) => history?.showNewest(cursor);
      return [history?.element, grant.may("notice") && publishForm({ api, ofGroup, published })];
    });
  },
};

function list({ api, session, query, ofGroup, signal }) {
  const isWithDeleted = query.deleted === "true";
  const entry = (notice, again) =>
    noticeOf(notice, session.grant.may("notice") ? () => askToDelete(api, notice, again) : null);
  const shown = pages({
    api,
    list: "notices",
    id: "informationId",
    query: { ...ofGroup, deleted: isWithDeleted ? "true" : null },
    entry,
    nothing: () => empty(t("noNotices"), t("noNoticesHint")),
    signal,
  });
  const change = ({ target }) =>
    go("notices", { app: query.app, group: query.group, deleted: target.checked || null });
  const element = h(
    "div",
    { class: "stack" },
    checkbox(t("withDeleted"), { checked: isWithDeleted, onchange: change }),
    shown.element,
  );
  return { element, showNewest: shown.showNewest };
}

function publishForm({ api, ofGroup, published }) {
  const publish = madeOnce(api, "/v1/commands/publish-notice");
  async function submitted({ userId, title, content, jumpUrl }, element) {
    const body = { ...ofGroup, userId, title: title || null, content, jumpUrl: jumpUrl || null };
    const { informationId, cursor } = await publish(body);
    element.reset();
    say(t("publishedAs", { id: informationId }));
    published(cursor);
  }
  const fields = [
    field(t("user"), { name: "userId", required: true, maxlength: 127, value: "operator" }),
    field(t("noticeTitle"), { name: "title", maxlength: 255, hint: t("optional") }),
    field(t("content"), { name: "content", rows: 3, required: true }),
    field(t("jumpUrl"), { name: "jumpUrl", maxlength: 2048, inputmode: "url", hint: t("optional") }),
  ];
  return section(t("publishTitle"), { class: "card" }, form({ fields, action: t("publish"), submitted }));
}
