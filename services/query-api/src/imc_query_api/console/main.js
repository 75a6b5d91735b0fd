/* Puts the console together: who is signed in, the calls, the frame of the page, and the page that the address names. */

import { Api, CallFailed } from "./api.js";
import { language, t } from "./language.js";
import { empty } from "./parts.js";
import { address, go, here } from "./route.js";
import { Session } from "./session.js";
import { Shell } from "./shell.js";
import { apps } from "./views/apps.js";
import { deadLetters } from "./views/dead_letters.js";
import { gateways } from "./views/gateways.js";
import { group } from "./views/group.js";
import { groups } from "./views/groups.js";
import { live } from "./views/live.js";
import { notices } from "./views/notices.js";
import { overview } from "./views/overview.js";
import { search } from "./views/search.js";
import { signIn } from "./views/sign_in.js";
import { appPicker } from "./app_picker.js";

const VIEWS = [overview, apps, gateways, deadLetters, live, groups, group, notices, search];

const session = new Session(sessionStorage);
const api = new Api(session);
const shell = new Shell({ session, api, views: VIEWS, signOut });
let leaving = new AbortController();

function signOut() {
  session.signOut();
  location.hash = "";
  location.reload();
}

function askForToken(failed) {
  leaving.abort();
  shell.showAlone(
    signIn({
      failed,
      signedIn: (token) => {
        session.signIn(token);
        location.reload();
      },
    }),
  );
}

/* Shows the page that the address names. A view ends what it runs when `signal` aborts. */
function show() {
  leaving.abort();
  leaving = new AbortController();
  const { path, query } = here();
  const allowed = VIEWS.filter((view) => session.grant.may(...view.scopes));
  const view = VIEWS.find((each) => each.path === path) ?? allowed[0];
  if (!view || !allowed.includes(view)) {
    shell.show({ title: t("notAllowedTitle"), view, query }, empty(t("notAllowed"), t("notAllowedHint")));
    return;
  }
  if (path !== view.path) history.replaceState(null, "", address(view.path, query));
  if (view.needsApp && !query.app) {
    if (session.app) {
      history.replaceState(null, "", address(view.path, { ...query, app: session.app }));
      show();
      return;
    }
    const picker = appPicker({ session, api, chosen: (app) => go(view.path, { ...query, app }) });
    shell.show({ title: t(view.title), view, query }, empty(t("chooseApp"), t("chooseAppHint"), picker));
    return;
  }
  if (view.needsApp) session.app = query.app;
  const title = view.titleOf?.(query) ?? t(view.title);
  shell.show({ title, view, query }, view.open({ api, session, query, signal: leaving.signal }));
}

/* Any call tells whether IMC asks for a token. This one may fail for other reasons too, which do not matter here. */
async function start() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  api.addEventListener("lost", () => shell.showLost());
  api.addEventListener("reached", () => shell.showReached());
  try {
    await api.get("/v1/installation");
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error;
    if (error.code === 40101) {
      askForToken(session.token ? error : null);
      return;
    }
  }
  api.addEventListener("refused", (event) => askForToken(event.detail));
  addEventListener("hashchange", show);
  show();
}

start();
