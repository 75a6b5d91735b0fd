/* Asks for a token. */

import { CallFailed } from "../api.js";
import { h } from "../dom.js";
import { t } from "../language.js";
import { field, form, problem } from "../parts.js";

const COMMAND = "imc token mint --app '*' --scope 'operate read gateway' --lifetime 3600";
const LONGEST = 8192;

/** `failed` says why the token before was refused, if there was one; `signedIn` gets the token. */
export function signIn({ failed, signedIn }) {
  const token = field(t("token"), {
    name: "token",
    type: "password",
    required: true,
    maxlength: LONGEST,
    hint: t("tokenHint"),
    autofocus: true,
  });
  return h(
    "div",
    { class: "sign-in" },
    h("h1", {}, t("signInTitle")),
    failed && problem(failed),
    form({ fields: [token], action: t("signIn"), submitted: (values) => signedIn(plainToken(values.token)) }),
    h(
      "details",
      {},
      h("summary", {}, t("whereFrom")),
      h("p", {}, t("whereFromText")),
      h("pre", { tabindex: 0 }, h("code", {}, COMMAND)),
    ),
  );
}

/* A token as people paste it, perhaps with the word that stands before it in a header. Other letters fit no header. */
function plainToken(text) {
  const token = text.trim().replace(/^bearer\s+/i, "");
  if (!/^[\w.~+/=-]+$/.test(token)) throw new CallFailed(40101);
  return token;
}
