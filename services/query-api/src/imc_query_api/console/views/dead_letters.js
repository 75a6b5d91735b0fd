/* Entries that no table accepted: why, and what to do with them. */

import { h } from "../dom.js";
import { count, t, textOr } from "../language.js";
import { ask, empty, field, form, moment, say, turnOff } from "../parts.js";
import { Pager } from "../pager.js";
import { polled } from "../polling.js";
import { go } from "../route.js";
import { Table } from "../table.js";

const LIMIT = 100;

export const deadLetters = {
  path: "dead-letters",
  label: "deadLetters",
  title: "deadLetters",
  scopes: ["operate"],
  open({ api, session, query, signal }) {
    const chosen = new Chosen();
    const table = tableOf(chosen);
    const pager = new Pager("dead-letters", query);
    const failures = h("div", { class: "slot" });
    const showing = (answer) => {
      chosen.keep(answer.letters);
      table.show(answer.letters);
      pager.show(answer);
    };
    const load = () => api.get("/v1/dead-letters", { appId: query.app, after: query.after, limit: LIMIT });
    const { note, again } = polled({ load, showing, signal, seconds: 10 });
    const carriedOut = (call) => async () => {
      const failed = await carryOut(api, call, chosen.letters());
      failures.replaceChildren(failed.length ? failedList(failed) : "");
      again();
    };
    return [filter(session, query), note, chosen.actions(carriedOut), failures, table.element, pager.element];
  },
};

function filter(session, query) {
  const { apps } = session.grant;
  if (apps?.length === 1) return "";
  const app = apps
    ? { options: [["", t("allApps")], ...apps.map((each) => [each, each])] }
    : { maxlength: 127, placeholder: t("allApps") };
  const fields = [field(t("app"), { name: "app", value: query.app, ...app })];
  return form({
    kind: "filter",
    fields,
    action: t("show"),
    submitted: (values) => go("dead-letters", values),
  });
}

const keyOf = ({ appId, letterId }) => JSON.stringify([appId, letterId]);

/* The letters that are ticked, with the buttons that act on them. */
class Chosen {
  #shown = new Map();
  #ticked = new Set();
  #count = h("p", { class: "soft", role: "status" });
  #all = h("button", { class: "quiet", onclick: () => this.#tickAll() }, t("chooseAll"));
  #replay = h("button", { class: "primary" }, t("replay"));
  #drop = h("button", { class: "danger" }, t("drop"));
  #bar = h("div", { class: "actions", hidden: true }, this.#all, this.#replay, this.#drop, this.#count);

  /** The bar of buttons. `carriedOut(call)` makes what carries out a call for the letters that are ticked. */
  actions(carriedOut) {
    const asking = (call, danger) => () => {
      if (!this.#ticked.size) return;
      ask({
        title: t(`${call}Title`, { count: count(this.#ticked.size) }),
        text: t(`${call}Text`),
        action: t(call),
        danger,
        run: carriedOut(call),
      });
    };
    this.#replay.addEventListener("click", asking("replay", false));
    this.#drop.addEventListener("click", asking("drop", true));
    return this.#bar;
  }

  letters() {
    return [...this.#ticked].map((key) => this.#shown.get(key));
  }

  /** Forgets letters that are no longer there. */
  keep(letters) {
    this.#shown = new Map(letters.map((letter) => [keyOf(letter), letter]));
    for (const key of this.#ticked) if (!this.#shown.has(key)) this.#ticked.delete(key);
    this.#changed();
  }

  box(letter) {
    const key = keyOf(letter);
    const tick = ({ target }) => {
      if (target.checked) this.#ticked.add(key);
      else this.#ticked.delete(key);
      this.#changed();
    };
    return h("input", {
      type: "checkbox",
      class: "tick",
      "aria-label": t("chooseLetter", { letter: letter.letterId }),
      checked: this.#ticked.has(key),
      onchange: tick,
    });
  }

  #tickAll() {
    const isOn = this.#ticked.size < this.#shown.size;
    this.#ticked = new Set(isOn ? this.#shown.keys() : []);
    for (const box of document.querySelectorAll(".tick")) box.checked = isOn;
    this.#changed();
  }

  #changed() {
    const { size } = this.#ticked;
    this.#bar.hidden = this.#shown.size === 0;
    for (const button of [this.#replay, this.#drop]) turnOff(button, size === 0);
    this.#count.textContent = t("chosenOf", { chosen: count(size), all: count(this.#shown.size) });
  }
}

const tableOf = (chosen) =>
  new Table({
    caption: t("deadLetters"),
    key: keyOf,
    nothing: () => empty(t("noDeadLetters"), t("noDeadLettersHint")),
    columns: [
      { label: t("choose"), hidden: true, cell: (letter) => chosen.box(letter) },
      { label: t("app"), cell: ({ appId }) => appId },
      { label: t("kind"), cell: ({ kind }) => textOr(`kind_${kind}`, kind) },
      { label: t("reason"), wide: true, cell: ({ reason }) => h("span", { lang: "en" }, reason) },
      { label: t("time"), wide: true, cell: ({ time }) => moment(time) },
      { label: t("logId"), cell: ({ logId }) => h("code", {}, logId) },
    ],
  });

/* Carries a call out, one app after the other; returns the letters that failed, with their reasons. */
async function carryOut(api, call, letters) {
  const byApp = Map.groupBy(letters, ({ appId }) => appId);
  const failed = [];
  let done = 0;
  for (const [appId, ofApp] of byApp) {
    const answer = await api.post(`/v1/dead-letters/${call}`, {
      appId,
      letterIds: ofApp.map(({ letterId }) => letterId),
    });
    done += answer.done;
    failed.push(...answer.failed);
  }
  say(t(`${call}Done`, { count: count(done) }));
  return failed;
}

const failedList = (failed) =>
  h(
    "div",
    { class: "problem", role: "alert" },
    h("p", { class: "problem-title" }, t("lettersFailed")),
    h(
      "ul",
      {},
      failed.map(({ letterId, reason }) => h("li", { lang: "en" }, h("code", {}, letterId), ` ${reason}`)),
    ),
  );
