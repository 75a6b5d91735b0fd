/* Lines over the last hour, drawn as SVG. The same figures stand in a table for those who can't see them. */

import { h, svg } from "./dom.js";
import { minuteOf } from "./language.js";

const HEIGHT = 140;
const MARGIN = { top: 8, right: 4, bottom: 22, left: 44 };
const MINUTE = 60_000;
const QUARTER = 15 * MINUTE;

/** The next number of the form 1, 2 or 5 times a power of ten, or more. */
export function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * (1 - 1e-9));
}

/** Up to four even ticks from 0 to at least `highest`. */
export function ticks(highest, smallest) {
  const step = Math.max(nice(Math.max(highest, smallest) / 4), smallest / 4);
  const steps = Math.max(1, Math.ceil(Math.max(highest, smallest) / step - 1e-9));
  return Array.from({ length: steps + 1 }, (_, index) => index * step);
}

/**
 * A chart of one or two `series`: `{ name, tone, value(row) }`, where a value may be null. `format` writes values, and
 * `smallest` is the least that the axis shows.
 */
export class Chart {
  #series;
  #format;
  #smallest;
  #rows = [];
  #width = 0;
  #now;
  #picture = h("div", { class: "chart-picture" });
  #readout = h("p", { class: "chart-readout" });

  constructor({ title, series, format, smallest = 1 }) {
    this.#series = series;
    this.#format = format;
    this.#smallest = smallest;
    this.#now = h("dl", { class: "chart-now" });
    this.element = h(
      "figure",
      { class: "chart card" },
      h("figcaption", {}, title),
      this.#now,
      this.#picture,
      this.#readout,
    );
    new ResizeObserver(([entry]) => this.#resized(Math.floor(entry.contentRect.width))).observe(
      this.#picture,
    );
    this.#picture.addEventListener("pointermove", (event) => this.#point(event));
    this.#picture.addEventListener("pointerleave", () => this.#draw(null));
  }

  show(rows) {
    this.#rows = rows;
    const newest = rows.at(-1);
    this.#now.replaceChildren(
      ...this.#series.map(({ name, tone, value }) => {
        const known = newest ? value(newest) : null;
        return h(
          "div",
          { class: tone },
          h("dt", {}, name),
          h("dd", {}, known === null ? "–" : this.#format(known)),
        );
      }),
    );
    this.#draw(null);
  }

  #resized(width) {
    if (width === this.#width || width === 0) return;
    this.#width = width;
    this.#draw(null);
  }

  #point(event) {
    if (!this.#rows.length) return;
    const { left, width } = this.#picture.getBoundingClientRect();
    const inner = width - MARGIN.left - MARGIN.right;
    const share = (event.clientX - left - MARGIN.left) / inner;
    const first = this.#rows[0].time;
    const wanted = first + share * (this.#rows.at(-1).time - first);
    const near = this.#rows.reduce((best, row) =>
      Math.abs(row.time - wanted) < Math.abs(best.time - wanted) ? row : best,
    );
    this.#draw(near);
  }

  #draw(pointed) {
    const rows = this.#rows;
    const width = this.#width;
    this.#readout.textContent = pointed ? this.#words(pointed) : "";
    if (!width || rows.length === 0) {
      this.#picture.replaceChildren();
      return;
    }
    const highest = Math.max(0, ...rows.flatMap((row) => this.#series.map(({ value }) => value(row) ?? 0)));
    const marks = ticks(highest, this.#smallest);
    const from = rows[0].time;
    const to = Math.max(rows.at(-1).time, from + MINUTE);
    const x = (time) => MARGIN.left + ((time - from) / (to - from)) * (width - MARGIN.left - MARGIN.right);
    const y = (value) =>
      HEIGHT - MARGIN.bottom - (value / marks.at(-1)) * (HEIGHT - MARGIN.bottom - MARGIN.top);
    const lines = this.#series.map(({ tone, value }, index) => drawn(rows, value, x, y, tone, index === 0));
    const cursor =
      pointed &&
      svg("line", { class: "cursor", x1: x(pointed.time), x2: x(pointed.time), y1: MARGIN.top, y2: y(0) });
    this.#picture.replaceChildren(
      svg(
        "svg",
        {
          viewBox: `0 0 ${width} ${HEIGHT}`,
          width,
          height: HEIGHT,
          "aria-hidden": "true",
          focusable: "false",
        },
        marks.map((mark) => this.#level(mark, y(mark), width)),
        quarters(from, to).map((time) =>
          svg("text", { x: x(time), y: HEIGHT - 4, "text-anchor": "middle" }, minuteOf(time)),
        ),
        lines,
        cursor,
      ),
    );
  }

  #level(mark, y, width) {
    return svg(
      "g",
      {},
      svg("line", { class: "level", x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y }),
      svg("text", { x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, this.#format(mark)),
    );
  }

  #words(row) {
    const values = this.#series.map(
      ({ name, value }) => `${name} ${value(row) === null ? "–" : this.#format(value(row))}`,
    );
    return [minuteOf(row.time), ...values].join(" · ");
  }
}

function quarters(from, to) {
  const first = Math.ceil((from + 2 * MINUTE) / QUARTER) * QUARTER;
  const found = [];
  for (let time = first; time <= to - 2 * MINUTE; time += QUARTER) found.push(time);
  return found;
}

/* A line with a break wherever a value is missing; the first series is filled down to zero. */
function drawn(rows, value, x, y, tone, isFilled) {
  const stretches = [];
  let open = null;
  for (const row of rows) {
    const known = value(row);
    if (known === null) open = null;
    else if (open) open.push([x(row.time), y(known)]);
    else stretches.push((open = [[x(row.time), y(known)]]));
  }
  return stretches.map((points) => {
    if (points.length === 1)
      return svg("circle", { class: `dot ${tone}`, cx: points[0][0], cy: points[0][1], r: 2.5 });
    const line = `M${points.map((point) => point.map((each) => each.toFixed(1)).join(",")).join("L")}`;
    const ground = `L${points.at(-1)[0].toFixed(1)},${y(0)}L${points[0][0].toFixed(1)},${y(0)}Z`;
    return [
      isFilled ? svg("path", { class: `area ${tone}`, d: line + ground }) : [],
      svg("path", { class: `line ${tone}`, d: line }),
    ];
  });
}
