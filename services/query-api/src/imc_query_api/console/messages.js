/* Messages and notices as people read them, a page at a time. */

import { h } from "./dom.js";
import { Keyed } from "./keyed.js";
import { dateOf, t } from "./language.js";
import { ask, badge, empty, field, moment, say } from "./parts.js";
import { polled } from "./polling.js";

const LIMIT = 50;

/** A message. `recall` is what its button does; without it there is none. `isOfOneGroup` leaves its group out. */
export function messageOf(message, recall, isOfOneGroup = false) {
  const isRecalled = message.status !== 1;
  return h(
    "li",
    { class: isRecalled ? "entry gone" : "entry" },
    h(
      "p",
      { class: "entry-head" },
      h("strong", {}, message.userId),
      !isOfOneGroup && h("span", {}, message.groupId),
      moment(message.createTime),
    ),
    isRecalled
      ? h(
          "p",
          { class: "entry-text" },
          [t("recalledAt", { time: dateOf(message.recallTime) }), message.recallCause]
            .filter(Boolean)
            .join(" · "),
        )
      : h("p", { class: "entry-text" }, message.content || h("em", {}, t("emptyContent"))),
    h(
      "p",
      { class: "entry-foot" },
      h("code", {}, message.messageId),
      message.type === null ? null : h("span", {}, t("typeIs", { type: message.type })),
      !isRecalled &&
        recall &&
        h("button", { class: "quiet small", onclick: () => recall(message) }, t("recall")),
    ),
  );
}

/** A notice. `remove` is what its button does; without it there is none. */
export function noticeOf(notice, remove) {
  const isDeleted = notice.status !== 1;
  return h(
    "li",
    { class: isDeleted ? "entry gone" : "entry" },
    h(
      "p",
      { class: "entry-head" },
      h("strong", {}, notice.title || t("untitled")),
      h("span", {}, notice.userId),
      moment(notice.createTime),
    ),
    h("p", { class: "entry-text" }, notice.content || h("em", {}, t("emptyContent"))),
    notice.jumpUrl && h("p", { class: "entry-text" }, h("code", {}, notice.jumpUrl)),
    h(
      "p",
      { class: "entry-foot" },
      h("code", {}, notice.informationId),
      isDeleted && badge("", t("deletedAt", { time: dateOf(notice.deleteTime) })),
      !isDeleted &&
        remove &&
        h("button", { class: "quiet small", onclick: () => remove(notice) }, t("delete")),
    ),
  );
}

/** Asks for a cause, recalls the message, then calls `done`. */
export function askToRecall(api, message, done) {
  ask({
    title: t("recallTitle"),
    text: t("recallText", { user: message.userId }),
    fields: [field(t("cause"), { name: "recallCause", maxlength: 255, hint: t("optional") })],
    action: t("recall"),
    danger: true,
    run: async ({ recallCause }) => {
      await api.post("/v1/commands/recall-message", {
        appId: message.appId,
        messageId: message.messageId,
        recallCause: recallCause || null,
      });
      say(t("recalled"));
      done();
    },
  });
}

/** Asks, deletes the notice, then calls `done`. */
export function askToDelete(api, notice, done) {
  ask({
    title: t("deleteTitle"),
    text: t("deleteText", { title: notice.title || t("untitled") }),
    action: t("delete"),
    danger: true,
    run: async () => {
      await api.post("/v1/commands/delete-notice", {
        appId: notice.appId,
        informationId: notice.informationId,
      });
      say(t("deleted"));
      done();
    },
  });
}

/**
 * Pages of `/v1/queries/messages` or `…/notices` (`list`), asked for again as they are looked at. `id` is the field
 * that tells items apart, `entry(item, again)` shows one, `isOldestFirst` is the order of the answer. Returns the
 * element, and `showNewest`, which may take a cursor that the answer must hold.
 */
export function pages({ api, list, id, query, entry, nothing, signal, isOldestFirst = false }) {
  const items = h("ol", { class: "entries" });
  const blank = h("div", { class: "slot" });
  const older = h(
    "button",
    { class: "quiet", hidden: true, onclick: () => turn({ before: oldest }) },
    t("older"),
  );
  const newer = h(
    "button",
    { class: "quiet", hidden: true, onclick: () => turn({ after: newest }) },
    t("newer"),
  );
  const first = h("button", { class: "quiet", hidden: true, onclick: () => turn({}) }, t("newest"));
  const keyed = new Keyed(
    items,
    (item) => item[id],
    (item) => entry(item, () => again()),
  );
  let at = {};
  let oldest = null;
  let newest = null;
  let minCursor = null;

  function showing({ [list]: found, hasMore }) {
    if (at.after && !hasMore) {
      turn({});
      return;
    }
    const newestFirst = isOldestFirst ? found.toReversed() : found;
    keyed.show(newestFirst);
    newest = newestFirst[0]?.[id];
    oldest = newestFirst.at(-1)?.[id];
    blank.replaceChildren(...(found.length ? [] : [nothing()]));
    older.hidden = !found.length || !(hasMore || at.after);
    newer.hidden = !at.before && !at.after;
    first.hidden = newer.hidden;
  }

  const load = () => api.get(`/v1/queries/${list}`, { ...query, ...at, limit: LIMIT, minCursor });
  const { note, again } = polled({ load, showing, signal });

  function turn(place) {
    at = place;
    again();
  }

  function showNewest(cursor) {
    minCursor = cursor;
    turn({});
  }

  return {
    element: h(
      "div",
      { class: "pages" },
      note,
      blank,
      items,
      h("div", { class: "actions pager" }, older, newer, first),
    ),
    showNewest,
  };
}

/** Pages of messages, each with a button to recall it if the token allows that. */
export function messagePages({ api, session, query, signal }) {
  const entry = (message, again) =>
    messageOf(
      message,
      session.grant.may("recall") ? () => askToRecall(api, message, again) : null,
      Boolean(query.groupId),
    );
  const nothing = () => empty(t("noMessages"), t("noMessagesHint"));
  return pages({
    api,
    list: "messages",
    id: "messageId",
    query,
    entry,
    nothing,
    signal,
    isOldestFirst: true,
  });
}
