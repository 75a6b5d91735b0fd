/* A list of elements that stay the same as their items change, so that focus and reading keep their place. */

/**
 * `fill(item, element)` makes the element of an item, or changes the one it had; `key(item)` tells items apart. Items
 * of one key are told apart by their order.
 */
export class Keyed {
  #parent;
  #key;
  #fill;
  #shown = new Map();

  constructor(parent, key, fill) {
    this.#parent = parent;
    this.#key = key;
    this.#fill = fill;
  }

  show(items) {
    const before = this.#shown;
    this.#shown = new Map();
    for (const item of items) {
      const key = this.#freeKey(this.#key(item));
      this.#shown.set(key, this.#filled(before.get(key), item));
    }
    for (const [key, { element }] of before) if (this.#shown.get(key)?.element !== element) element.remove();
    let place = this.#parent.firstChild;
    for (const { element } of this.#shown.values()) {
      if (element === place) place = place.nextSibling;
      else this.#parent.insertBefore(element, place);
    }
  }

  #freeKey(key) {
    let free = key;
    for (let number = 2; this.#shown.has(free); number += 1) free = `${key} ${number}`;
    return free;
  }

  #filled(known, item) {
    const text = JSON.stringify(item);
    return known?.text === text ? known : { element: this.#fill(item, known?.element ?? null), text };
  }
}
