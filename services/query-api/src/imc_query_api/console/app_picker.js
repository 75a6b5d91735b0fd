/* Chooses an app: from those of the token, or any by its id, with the noisiest as suggestions. */

import { CallFailed } from "./api.js";
import { freshId, h } from "./dom.js";
import { t } from "./language.js";

const SUGGESTED = 100;

export function appPicker({ session, api, chosen, isCompact = false }) {
  const { apps } = session.grant;
  if (apps?.length === 1 && isCompact) return h("p", { class: "only-app" }, apps[0]);
  const id = freshId("app");
  const input = apps ? selectOf(id, apps, session.app) : inputOf(id, session.app);
  const list = apps ? null : h("datalist", { id: listOf(id) });
  if (list && session.grant.may("operate"))
    input.addEventListener("focus", () => suggest(api, list), { once: true });
  const element = h(
    "form",
    { class: isCompact ? "picker compact" : "picker" },
    h("label", { for: id, class: isCompact ? "hidden" : null }, t("app")),
    input,
    list,
    h("button", { class: isCompact ? "quiet" : "primary" }, t("open")),
  );
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value) chosen(input.value);
  });
  return element;
}

const listOf = (id) => `${id}-list`;

const selectOf = (id, apps, current) =>
  h(
    "select",
    { id },
    apps.map((app) => h("option", { value: app, selected: app === current }, app)),
  );

const inputOf = (id, current) =>
  h("input", {
    id,
    list: listOf(id),
    value: current,
    required: true,
    maxlength: 127,
    placeholder: "appId",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
  });

async function suggest(api, list) {
  try {
    const { apps } = await api.get("/v1/apps", { order: "noisiest", limit: SUGGESTED });
    list.replaceChildren(...apps.map(({ appId }) => h("option", { value: appId })));
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error; /* without suggestions an id can still be typed */
  }
}
