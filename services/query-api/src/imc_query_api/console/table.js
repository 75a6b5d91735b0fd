/* Tables. On a narrow screen each row becomes a card; the roles keep it a table for screen readers. */

import { h, present } from "./dom.js";
import { Keyed } from "./keyed.js";

/**
 * `columns` are `{ label, cell(item), numeric, wide, hidden }`, `key(item)` tells rows apart, `nothing()` is shown without
 * rows.
 */
export class Table {
  #columns;
  #nothing;
  #rows;
  #table;

  constructor({ caption, columns, key, nothing }) {
    const body = h("tbody", { role: "rowgroup" });
    this.#columns = present(columns);
    this.#nothing = nothing;
    this.#rows = new Keyed(body, key, (item, row) => this.#filled(item, row));
    this.#table = h(
      "table",
      { role: "table" },
      h("caption", { class: "hidden" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, this.#columns.map(head))),
      body,
    );
    this.element = h("div", { class: "table" });
  }

  show(items) {
    this.#rows.show(items);
    if (!items.length) this.element.replaceChildren(this.#nothing());
    else if (!this.element.contains(this.#table)) this.element.replaceChildren(this.#table);
  }

  #filled(item, known) {
    const row = known ?? h("tr", { role: "row" }, this.#columns.map(place));
    this.#columns.forEach(({ cell }, index) => {
      const td = row.children[index];
      if (!td.contains(document.activeElement)) td.replaceChildren(...present(cell(item)));
    });
    return row;
  }
}

const head = ({ label, numeric, hidden }) =>
  h(
    "th",
    { role: "columnheader", scope: "col", class: numeric && "numeric" },
    hidden ? h("span", { class: "hidden" }, label) : label,
  );

function place({ label, numeric, wide, hidden }) {
  const kind = (hidden && "unlabelled") || (numeric && "numeric") || (wide && "wide") || null;
  return h("td", { role: "cell", class: kind, "data-label": hidden ? null : label });
}
