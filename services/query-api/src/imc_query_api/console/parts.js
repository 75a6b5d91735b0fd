/* The parts that pages are built of. */

import { h, present, freshId } from "./dom.js";
import { dateOf, t, textOr } from "./language.js";

/** What failed, in words, with the cure. `more` is added below. */
export function problem(error, ...more) {
  const cure = textOr(`cure${error.code}`, t("cureOther"));
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("p", { class: "problem-title" }, textOr(`fault${error.code}`, t("faultOther", { code: error.code }))),
    error.message && h("p", { lang: "en" }, error.message),
    h("p", {}, cure, error.retryAfter ? ` ${t("retryAfter", { seconds: error.retryAfter })}` : null),
    ...more,
  );
}

/** What is said where nothing is to be shown, and what to do about it. */
export const empty = (title, hint, ...more) =>
  h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), hint && h("p", {}, hint), ...more);

/** A word with a colour: good, warn, bad, or none. */
export const badge = (tone, text) => h("span", { class: `badge ${tone}` }, text);

/** A time in Unix ms, for machines too. */
export const moment = (ms, format = dateOf) =>
  h("time", { datetime: new Date(ms).toISOString(), title: dateOf(ms) }, format(ms));

/** A labelled field. `attributes` are those of the input; `options` make it a select, `rows` a text of several lines. */
export function field(label, { options, rows, hint, ...attributes }) {
  const id = freshId("field");
  const hintId = hint && `${id}-hint`;
  const shared = { id, "aria-describedby": hintId, autocomplete: "off", ...attributes };
  let input;
  if (options)
    input = h(
      "select",
      shared,
      options.map(([value, text]) => option(value, text, attributes.value)),
    );
  else if (rows) input = h("textarea", { rows, ...shared });
  else input = h("input", { autocapitalize: "off", spellcheck: "false", ...shared });
  const note = hint && h("span", { class: "hint", id: hintId }, hint);
  return h("div", { class: "field" }, h("label", { for: id }, label), input, note);
}

const option = (value, text, chosen) => h("option", { value, selected: value === chosen }, text);

/** A labelled checkbox. */
export const checkbox = (label, attributes) =>
  h("label", { class: "check" }, h("input", { type: "checkbox", ...attributes }), h("span", {}, label));

/** Turns a button off, or on again. Unlike one that is disabled it keeps the focus. */
export const turnOff = (button, off) => button.setAttribute("aria-disabled", String(off));

/** Whether a button is turned off. */
export const isOff = (button) => button.getAttribute("aria-disabled") === "true";

/** A form that runs `submitted` with its values; while that runs it can't be sent again. What fails is shown in it. */
export function form({ fields, action, submitted, kind = "", danger = false, more = [] }) {
  const button = h("button", { class: danger ? "danger" : kind === "filter" ? "quiet" : "primary" }, action);
  const failure = h("div", { class: "form-failure slot" });
  const element = h(
    "form",
    { class: `form ${kind}` },
    fields,
    h("div", { class: "actions" }, button, more),
    failure,
  );
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isOff(button)) return;
    turnOff(button, true);
    failure.replaceChildren();
    try {
      await submitted(Object.fromEntries(new FormData(element)), element);
    } catch (error) {
      if (error.code === undefined) throw error;
      failure.replaceChildren(problem(error));
    } finally {
      turnOff(button, false);
    }
  });
  return element;
}

/**
 * A dialog that asks before `run` is called with the values of its fields. Closes when that succeeds; says why when
 * it fails. The focus goes back to where it was.
 */
export function ask({ title, text, fields = [], action, danger = false, run }) {
  const titleId = freshId("dialog");
  const cancel = h(
    "button",
    { type: "button", class: "quiet", autofocus: !fields.length, onclick: () => dialog.close() },
    t("cancel"),
  );
  async function submitted(values) {
    await run(values);
    dialog.close();
  }
  const dialog = h(
    "dialog",
    { "aria-labelledby": titleId, onclose: () => dialog.remove() },
    h("h2", { id: titleId }, title),
    text && h("p", {}, text),
    form({ fields, action, danger, submitted, more: [cancel] }),
  );
  document.body.append(dialog);
  dialog.showModal();
}

/** Says something to everyone: shown for a while, and read out. */
export function say(text) {
  const region = document.getElementById("said");
  const line = h("p", {}, text);
  region.replaceChildren(line);
  setTimeout(() => line.remove(), 6000);
}

/** A section with a heading. */
export function section(title, attributes, ...children) {
  const id = freshId("section");
  return h("section", { "aria-labelledby": id, ...attributes }, h("h2", { id }, title), ...present(children));
}
