/* Builds elements. Text is always text: nothing here reads HTML, so content of users can't become a page. */

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element: `h("button", { class: "quiet", onclick: run }, "Recall")`. Null attributes and children are left out. */
export const h = (name, attributes, ...children) =>
  filled(document.createElement(name), attributes, children);

/** The same for SVG. */
export const svg = (name, attributes, ...children) =>
  filled(document.createElementNS(SVG, name), attributes, children);

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...present(children));
  return element;
}

/** Children as `append` takes them: lists flattened, and without what is absent. */
export const present = (children) =>
  [children].flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

/** An id that no other element has. */
export const freshId = (() => {
  let last = 0;
  return (prefix) => `${prefix}-${(last += 1)}`;
})();
