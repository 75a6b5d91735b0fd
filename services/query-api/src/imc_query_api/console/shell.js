/* The frame of every page: the way through the console, what is said, and whether the connection stands. */

import { appPicker } from "./app_picker.js";
import { h } from "./dom.js";
import { minuteOf, otherLanguage, secondOf, switchLanguage, t } from "./language.js";
import { address, go, here } from "./route.js";

const DOCUMENTS = [
  ["../docs", "linkDocs"],
  ["../openapi.json", "linkOpenapi"],
];

export class Shell {
  #session;
  #api;
  #views;
  #signOut;
  #main = h("main", { id: "main", tabindex: "-1" });
  #nav = h("nav", { id: "nav", "aria-label": t("navigation") });
  #menu = h(
    "button",
    { class: "menu quiet", "aria-expanded": "false", "aria-controls": "nav", onclick: () => this.#toggle() },
    t("menu"),
  );
  #lost = h("div", { class: "lost", role: "status" });
  #shown = false;

  constructor({ session, api, views, signOut }) {
    this.#session = session;
    this.#api = api;
    this.#views = views;
    this.#signOut = signOut;
    const said = h("div", { id: "said", role: "status", "aria-live": "polite" });
    const skip = h(
      "a",
      {
        class: "skip",
        href: "#main",
        onclick: (event) => {
          event.preventDefault();
          this.#main.focus();
        },
      },
      t("skip"),
    );
    const brand = h(
      "a",
      { class: "brand", href: address("") },
      h("img", { src: "icon.svg", alt: "", width: 28, height: 28 }),
      h("span", {}, "IMC"),
    );
    document.body.replaceChildren(
      skip,
      h("div", { class: "side" }, h("header", {}, brand, this.#menu), this.#nav),
      this.#main,
      this.#lost,
      said,
    );
    this.#nav.addEventListener("click", (event) => event.target.closest("a") && this.#toggle(false));
    document.addEventListener(
      "keydown",
      (event) => event.key === "Escape" && this.#isOpen && this.#toggle(false, true),
    );
  }

  /** Shows a page and its place in the navigation. The focus goes to the heading, but not at the first page. */
  show({ title, view, query }, content) {
    const heading = h("h1", { tabindex: "-1" }, title);
    document.title = `${title} · IMC`;
    document.body.classList.remove("alone");
    this.#fillNavigation(view, query);
    this.#main.replaceChildren(heading, ...[content].flat());
    if (this.#shown) {
      heading.focus();
      scrollTo(0, 0);
    }
    this.#shown = true;
  }

  /** Shows a page without navigation. */
  showAlone(content) {
    document.title = "IMC";
    document.body.classList.add("alone");
    this.#nav.replaceChildren();
    this.#main.replaceChildren(content, h("footer", {}, languageSwitch()));
  }

  showLost() {
    if (!this.#lost.firstChild) this.#lost.append(h("p", {}, t("lostSince", { time: secondOf(Date.now()) })));
  }

  showReached() {
    this.#lost.replaceChildren();
  }

  #fillNavigation(current, query) {
    const entry = (view) => this.#entry(view, current, query);
    const allowed = this.#views.filter((view) => view.label && this.#session.grant.may(...view.scopes));
    const ofInstallation = allowed.filter((view) => !view.needsApp);
    const ofApp = allowed.filter((view) => view.needsApp);
    const { grant } = this.#session;
    this.#nav.replaceChildren(
      ...(ofInstallation.length
        ? [h("p", { class: "nav-title" }, t("installation")), h("ul", {}, ofInstallation.map(entry))]
        : []),
      ...(ofApp.length
        ? [
            h("p", { class: "nav-title" }, t("oneApp")),
            this.#picker(ofApp, current),
            h("ul", {}, ofApp.map(entry)),
          ]
        : []),
      h(
        "footer",
        {},
        this.#session.token &&
          grant.expiresAt &&
          h("p", {}, t("signedInUntil", { time: minuteOf(grant.expiresAt) })),
        h(
          "ul",
          {},
          DOCUMENTS.map(([href, key]) => h("li", {}, h("a", { href }, t(key)))),
        ),
        languageSwitch(),
        this.#session.token && h("button", { class: "quiet", onclick: this.#signOut }, t("signOut")),
      ),
    );
  }

  #entry(view, current, query) {
    const isCurrent = view === current || view === current?.parent;
    const app = view.needsApp ? (query.app ?? this.#session.app) : null;
    return h(
      "li",
      {},
      h("a", { href: address(view.path, { app }), "aria-current": isCurrent ? "page" : null }, t(view.label)),
    );
  }

  #picker(ofApp, current) {
    const chosen = (app) => {
      this.#session.app = app;
      const view = current?.needsApp ? (current.parent ?? current) : ofApp[0];
      this.#toggle(false);
      if (address(view.path, { app }) === address(here().path, here().query)) return;
      go(view.path, { app });
    };
    return appPicker({ session: this.#session, api: this.#api, chosen, isCompact: true });
  }

  get #isOpen() {
    return this.#menu.getAttribute("aria-expanded") === "true";
  }

  #toggle(open = !this.#isOpen, takesFocus = false) {
    this.#menu.setAttribute("aria-expanded", String(open));
    document.body.classList.toggle("menu-open", open);
    if (takesFocus) this.#menu.focus();
  }
}

const languageSwitch = () =>
  h(
    "button",
    {
      class: "quiet",
      lang: otherLanguage.code === "zh" ? "zh-CN" : "en",
      onclick: () => switchLanguage(otherLanguage.code),
    },
    otherLanguage.name,
  );
