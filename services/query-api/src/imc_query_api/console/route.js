/* Where in the console one is: `#/groups?app=demo`. */

/** The address of a page. Values that are null or empty are left out. */
export function address(path, query = {}) {
  const given = Object.entries(query).filter(
    ([, value]) => value !== null && value !== undefined && value !== "",
  );
  const text = new URLSearchParams(given).toString();
  return `#/${path}${text && `?${text}`}`;
}

/** Goes to a page. */
export function go(path, query) {
  location.hash = address(path, query);
}

/** The page that is shown: its path, and its query as an object. */
export function here() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { path, query: Object.fromEntries(new URLSearchParams(query)) };
}
