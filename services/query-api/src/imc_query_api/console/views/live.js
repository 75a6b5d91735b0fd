/* What happens in an app now, as a gateway of it gets it. */

import { freshKey } from "../api.js";
import { h } from "../dom.js";
import { Keyed } from "../keyed.js";
import { rate, secondOf, t, textOr } from "../language.js";
import { badge, checkbox, empty, field, problem } from "../parts.js";
import { Tail } from "../tail.js";

const KEPT = 1000;
const SHOWN = 200;
const RATE_SECONDS = 5;
const KINDS = {
  2001: "message",
  2002: "recall",
  2004: "notice",
  2005: "noticeDeleted",
  2006: "erased",
  4002: "gap",
};
const TONES = { connected: "good", recall: "warn", noticeDeleted: "warn", erased: "warn", gap: "bad", failure: "bad" };

export const live = {
  path: "live",
  label: "live",
  title: "live",
  titleOf: ({ app }) => t("liveOf", { app }),
  scopes: ["gateway"],
  needsApp: true,
  open({ api, session, query, signal }) {
    const gatewayId = `console-${freshKey().slice(0, 8)}`;
    const tail = new Tail(api, session, query.app, gatewayId);
    const page = new LivePage(() => tail.open());
    tail.addEventListener("state", ({ detail }) => page.connection(detail), { signal });
    tail.addEventListener("push", ({ detail }) => page.add(detail), { signal });
    const ticking = setInterval(() => page.tick(), 1000);
    signal.addEventListener("abort", () => {
      clearInterval(ticking);
      tail.close();
    });
    tail.open();
    return [h("p", { class: "soft" }, t("liveText", { gateway: gatewayId })), page.element];
  },
};

/** The newest events of an app: those that the filters let through, newest first. */
class LivePage {
  #events = [];
  #last = 0;
  #arrivals = [];
  #isPaused = false;
  #isDrawn = true;
  #filters = { group: "", user: "", text: "", kind: "" };
  #state = h("p", { class: "live-state", role: "status" });
  #failure = h("div", { class: "slot" });
  #rate = h("span", { class: "soft" });
  #list = h("ol", { class: "entries" });
  #log = h("div", { role: "log", "aria-live": "off", "aria-label": t("events") }, this.#list);
  #blank = h("div", { class: "slot" });
  #keyed = new Keyed(
    this.#list,
    ({ number }) => number,
    (event) => eventOf(event),
  );
  #pause = h(
    "button",
    { class: "quiet", "aria-pressed": "false", onclick: () => this.#togglePause() },
    t("pause"),
  );
  #again;

  constructor(again) {
    this.#again = again;
    const clear = h("button", { class: "quiet", onclick: () => this.#clear() }, t("clear"));
    const reads = checkbox(t("readOut"), {
      onchange: ({ target }) => this.#log.setAttribute("aria-live", target.checked ? "polite" : "off"),
    });
    this.element = h(
      "div",
      { class: "stack" },
      h("div", { class: "live-head" }, this.#state, this.#rate),
      this.#failure,
      this.#filterForm(),
      h("div", { class: "actions" }, this.#pause, clear, reads),
      this.#blank,
      this.#log,
    );
    this.#draw();
  }

  /** Shows how the connection stands. */
  connection({ name, code, reason, failed }) {
    const tone = { live: "good", connecting: "warn", waiting: "warn", ended: "bad" }[name];
    const why = code === undefined ? "" : [code, textOr(`close${code}`, reason)].filter(Boolean).join(" · ");
    this.#state.replaceChildren(badge(tone, t(`tail_${name}`)), why ? ` ${why}` : "");
    const again = () => {
      this.#failure.replaceChildren();
      this.#again();
    };
    const button =
      name === "ended" ? h("button", { class: "primary", onclick: again }, t("connectAgain")) : "";
    this.#failure.replaceChildren(failed ? problem(failed) : "", button);
  }

  /** Takes a frame. */
  add({ code, data, cursor, recovered, message }) {
    const time = Date.now();
    if (code === 2000) {
      this.#keep({
        kind: "connected",
        time,
        text: recovered ? t("connectedRecovered") : t("connectedFrom", { cursor }),
      });
      return;
    }
    if (code === 2002) this.#blankOut(data.messageId);
    if (code === 2006) this.#erase(data);
    if (code !== 4002) this.#arrivals.push(time);
    const kind = KINDS[code] ?? "failure";
    this.#keep({
      kind,
      time: data?.recallTime || data?.deleteTime || data?.createTime || data?.eraseTime || time,
      ...wordsOf(kind, data, message),
    });
  }

  /** Shows how many events come. */
  tick() {
    const since = Date.now() - RATE_SECONDS * 1000;
    this.#arrivals = this.#arrivals.filter((time) => time > since);
    this.#rate.textContent = rate(this.#arrivals.length / RATE_SECONDS);
  }

  #keep(event) {
    this.#events.push({ number: (this.#last += 1), ...event });
    if (this.#events.length > 2 * KEPT) this.#events = this.#events.slice(-KEPT);
    this.#changed();
  }

  /* A recall is final: nothing shows the content any more. */
  #blankOut(messageId) {
    this.#events = this.#events.map((event) =>
      event.id === messageId && event.kind === "message" ? { ...event, text: "", isGone: true } : event,
    );
  }

  /* What is erased goes from here too. */
  #erase({ userId, groupId }) {
    const isOfIt = ({ user, group }) => (userId ? user === userId : !groupId || group === groupId);
    this.#events = this.#events.filter((event) => !event.id || !isOfIt(event));
  }

  /* However many frames arrive, the list is drawn once a picture. */
  #changed() {
    if (!this.#isDrawn) return;
    this.#isDrawn = false;
    requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#isDrawn = true;
    if (this.#isPaused) return;
    const found = this.#events
      .slice(-KEPT)
      .filter((event) => this.#passes(event))
      .slice(-SHOWN)
      .reverse();
    this.#keyed.show(found);
    this.#list.hidden = found.length === 0;
    this.#blank.replaceChildren(
      ...(found.length
        ? []
        : [
            this.#events.length
              ? empty(t("nothingPasses"), t("nothingPassesHint"))
              : empty(t("nothingYet"), t("nothingYetHint")),
          ]),
    );
  }

  #passes({ kind, group, user, text }) {
    const wanted = this.#filters;
    const holds = (value, part) => !part || (value ?? "").toLowerCase().includes(part.toLowerCase());
    const isOfKind = !wanted.kind || kind.startsWith(wanted.kind);
    return isOfKind && holds(group, wanted.group) && holds(user, wanted.user) && holds(text, wanted.text);
  }

  #filterForm() {
    const kinds = [
      ["", t("allKinds")],
      ["message", t("messages")],
      ["recall", t("recalls")],
      ["notice", t("notices")],
    ];
    const change = ({ target }) => {
      this.#filters[target.name] = target.value;
      this.#changed();
    };
    return h(
      "form",
      {
        class: "form filter",
        oninput: change,
        onsubmit: (event) => event.preventDefault(),
        "aria-label": t("filters"),
      },
      field(t("kind"), { name: "kind", options: kinds }),
      field(t("group"), { name: "group" }),
      field(t("user"), { name: "user" }),
      field(t("contains"), { name: "text" }),
    );
  }

  #togglePause() {
    this.#isPaused = !this.#isPaused;
    this.#pause.setAttribute("aria-pressed", String(this.#isPaused));
    this.#changed();
  }

  #clear() {
    this.#events = [];
    this.#changed();
  }
}

/* What an event says: who, where, the text, and the id. */
function wordsOf(kind, data, message) {
  if (kind === "gap") return { text: t("gapText", data) };
  if (kind === "failure") return { text: message };
  const id = data.messageId ?? data.informationId ?? data.erasureId;
  const texts = {
    message: data.content,
    recall: data.recallCause && `${t("cause")}: ${data.recallCause}`,
    notice: [data.title, data.content].filter(Boolean).join("\n"),
    noticeDeleted: data.title ?? "",
    erased: data.userId || data.groupId ? "" : t("erasedApp"),
  };
  return {
    id,
    user: data.userId,
    group: data.groupId,
    text: texts[kind],
    isGone: kind === "message" && data.status !== 1,
  };
}

function eventOf({ kind, time, user, group, text, id, isGone }) {
  return h(
    "li",
    { class: isGone ? "entry gone" : "entry" },
    h(
      "p",
      { class: "entry-head" },
      badge(TONES[kind] ?? "", t(`event_${kind}`)),
      user && h("strong", {}, user),
      group && h("span", {}, group),
      h("time", { datetime: new Date(time).toISOString() }, secondOf(time)),
    ),
    isGone ? h("p", { class: "entry-text" }, t("isRecalled")) : text && h("p", { class: "entry-text" }, text),
    id && h("p", { class: "entry-foot" }, h("code", {}, id)),
  );
}
