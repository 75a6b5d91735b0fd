/* Who is signed in: the token, kept for this tab alone, and what it allows. */

const TOKEN = "imc-console-token";
const APP = "imc-console-app";
const SCOPES = ["send", "recall", "notice", "read", "gateway", "operate"];

/** What a caller may do: `apps` is null for all of them. Services decide; this decides what is shown. */
class Grant {
  constructor(scopes, apps, expiresAt) {
    this.scopes = new Set(scopes);
    this.apps = apps;
    this.expiresAt = expiresAt;
  }

  may(...scopes) {
    return scopes.some((scope) => this.scopes.has(scope));
  }
}

const EVERYTHING = new Grant(SCOPES, null, null);

export class Session {
  #storage;

  constructor(storage) {
    this.#storage = storage;
  }

  get token() {
    return this.#storage.getItem(TOKEN);
  }

  /** What the token allows; everything where none is needed. */
  get grant() {
    return this.token ? grantOf(this.token) : EVERYTHING;
  }

  /** The app that was looked at last, if the token covers it, or its only one. */
  get app() {
    const { apps } = this.grant;
    if (apps?.length === 1) return apps[0];
    const kept = this.#storage.getItem(APP);
    return kept && (!apps || apps.includes(kept)) ? kept : null;
  }

  set app(app) {
    this.#storage.setItem(APP, app);
  }

  signIn(token) {
    this.#storage.setItem(TOKEN, token);
  }

  signOut() {
    this.#storage.removeItem(TOKEN);
    this.#storage.removeItem(APP);
  }
}

/* The claims of a token, unverified. A token that can't be read may be anything: services say what it is. */
function grantOf(token) {
  try {
    const text = atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
    const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (each) => each.codePointAt(0))));
    const scopes = Array.isArray(claims.scope) ? claims.scope : String(claims.scope ?? "").split(" ");
    const apps = claims.app === "*" ? null : [claims.app ?? []].flat();
    return new Grant(scopes, apps, claims.exp * 1000);
  } catch {
    return EVERYTHING;
  }
}
