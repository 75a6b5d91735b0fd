/* The language of the page, and how it writes texts, numbers and times. A switch loads the page again. */

import { texts as en } from "./texts/en.js";
import { texts as zh } from "./texts/zh.js";

const TEXTS = { en, zh };
const LOCALES = { en: "en-GB", zh: "zh-CN" };
const KEY = "imc-console-language";

export const language = chosen();
export const otherLanguage =
  language === "en" ? { code: "zh", name: "中文" } : { code: "en", name: "English" };
const locale = LOCALES[language];

function chosen() {
  const kept = localStorage.getItem(KEY);
  if (kept in TEXTS) return kept;
  return navigator.language.startsWith("zh") ? "zh" : "en";
}

/** Shows the page in another language. */
export function switchLanguage(code) {
  localStorage.setItem(KEY, code);
  location.reload();
}

/** The text of a key, with `{name}` replaced by the value of that name. */
export const t = (key, values = {}) => TEXTS[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);

/** The text of a key that a server may have made; `otherwise` if there is none. */
export const textOr = (key, otherwise) => (Object.hasOwn(TEXTS[language], key) ? t(key) : otherwise);

const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const precise = new Intl.NumberFormat(locale, { maximumSignificantDigits: 3 });
const compact = new Intl.NumberFormat(locale, { notation: "compact", maximumSignificantDigits: 3 });
const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" });
const second = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const date = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" });
const BYTES = ["B", "KiB", "MiB", "GiB", "TiB"];
const AGES = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];

/** A count, all digits. */
export const count = (value) => whole.format(value);

/** A measured value, three digits. */
export const measure = (value) => (Math.abs(value) >= 1000 ? compact.format(value) : precise.format(value));

/** A rate per second. */
export const rate = (value) => `${measure(value)}/s`;

/** An amount of bytes. */
export function bytes(value) {
  const power = value < 1 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), BYTES.length - 1);
  return `${precise.format(value / 1024 ** power)} ${BYTES[power]}`;
}

/** Hours and minutes of a time in Unix ms. */
export const minuteOf = (ms) => clock.format(ms);

/** Hours, minutes and seconds of a time in Unix ms. */
export const secondOf = (ms) => second.format(ms);

/** Date and time of a time in Unix ms. */
export const dateOf = (ms) => date.format(ms);

/** A length of time in its two largest units, such as "2h 5min". */
export function age(seconds) {
  const first = AGES.findIndex(([, length]) => seconds >= length);
  if (first < 0) return unit(0, "second");
  const [name, length] = AGES[first];
  const parts = [unit(Math.floor(seconds / length), name)];
  const [smaller, smallerLength] = AGES[first + 1] ?? [];
  const rest = smaller ? Math.floor((seconds % length) / smallerLength) : 0;
  return (rest ? [...parts, unit(rest, smaller)] : parts).join(" ");
}

const unit = (value, name) =>
  new Intl.NumberFormat(locale, { style: "unit", unit: name, unitDisplay: "narrow" }).format(value);
