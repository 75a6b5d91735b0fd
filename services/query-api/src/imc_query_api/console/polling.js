/* Asks again and again while a page is looked at, and keeps what is shown honest about its age. */

import { CallFailed } from "./api.js";
import { h } from "./dom.js";
import { secondOf, t } from "./language.js";
import { problem } from "./parts.js";

/**
 * Shows what `load` answers, each few `seconds` until `signal` aborts. Returns the element that says what fails,
 * and `again`, which asks at once. `showing` gets the answer. What was shown before a failure stays.
 */
export function polled({ load, showing, signal, seconds = 5 }) {
  const note = h("div", { class: "slot" }, h("p", { class: "loading" }, t("loading")));
  let shownAt = null;
  let timer = null;
  let turn = 0;

  async function ask() {
    clearTimeout(timer);
    const mine = (turn += 1);
    try {
      const answer = await load();
      if (signal.aborted || mine !== turn) return;
      shownAt = Date.now();
      note.replaceChildren();
      showing(answer);
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      if (signal.aborted || mine !== turn) return;
      const age = shownAt && h("p", {}, t("shownIsFrom", { time: secondOf(shownAt) }));
      /* The same fault is not told again each time: a screen reader would read it out. */
      if (note.dataset.code !== String(error.code) || !note.firstChild)
        note.replaceChildren(problem(error, age));
      note.dataset.code = error.code;
    }
    timer = setTimeout(next, seconds * 1000);
  }

  const next = () => (document.hidden ? null : ask());
  document.addEventListener("visibilitychange", next, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  ask();
  return { note, again: ask };
}
