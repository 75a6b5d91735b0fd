/* The way through lists that go on after a mark that the service gives. */

import { h } from "./dom.js";
import { t } from "./language.js";
import { address } from "./route.js";

/** Links to the first and the next page of a list. */
export class Pager {
  #path;
  #query;

  constructor(path, query) {
    this.#path = path;
    this.#query = query;
    this.element = h("nav", { class: "actions pager", "aria-label": t("pagesOfList") });
  }

  /** Shows where one can go, by the `next` of an answer. */
  show({ next, hasMore }) {
    const { after, ...first } = this.#query;
    const links = [
      after && h("a", { class: "button quiet", href: address(this.#path, first) }, t("firstPage")),
      hasMore &&
        next &&
        h(
          "a",
          { class: "button quiet", href: address(this.#path, { ...first, after: next }) },
          t("nextPage"),
        ),
    ].filter(Boolean);
    if (
      links.length !== this.element.childElementCount ||
      links.some((link, index) => link.href !== this.element.children[index].href)
    ) {
      this.element.replaceChildren(...links);
    }
    this.element.hidden = links.length === 0;
  }
}
