/* Calls of IMC over HTTP. Every failure, also one of the network, is a `CallFailed` with a code to decide by. */

const TIMEOUT_MS = 15_000;

export class CallFailed extends Error {
  /** `code` is one of IMC's, or "unreachable", "timeout" or "unreadable"; `retryAfter` is in seconds. */
  constructor(code, message = "", retryAfter = null) {
    super(message);
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** Whether nobody can say if the call was carried out. */
  get isUnknown() {
    return [50001, "unreachable", "timeout", "unreadable"].includes(this.code);
  }
}

/** Tells "reached" and "lost" as the connection comes and goes, and "refused" when a token is no longer good. */
export class Api extends EventTarget {
  #session;

  constructor(session) {
    super();
    this.#session = session;
  }

  /** The `data` of a query. Parameters that are null or empty are left out. */
  get(path, parameters = {}) {
    const given = Object.entries(parameters).filter(
      ([, value]) => value !== null && value !== undefined && value !== "",
    );
    const query = new URLSearchParams(given).toString();
    return this.#call(query ? `${path}?${query}` : path, {});
  }

  /** The `data` of the reply to a command. */
  post(path, body) {
    const given = Object.entries(body).filter(([, value]) => value !== null && value !== undefined);
    const headers = { "Content-Type": "application/json" };
    return this.#call(path, { method: "POST", headers, body: JSON.stringify(Object.fromEntries(given)) });
  }

  async #call(path, options) {
    const { token } = this.#session;
    const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
    const reply = await this.#fetched(path, { ...options, headers });
    if (reply.success) return reply.data;
    const failed = new CallFailed(reply.code, reply.message, reply.retryAfter);
    if (failed.code === 40101) this.dispatchEvent(new CustomEvent("refused", { detail: failed }));
    throw failed;
  }

  async #fetched(path, options) {
    let response;
    try {
      response = await fetch(path, { ...options, signal: AbortSignal.timeout(TIMEOUT_MS) });
    } catch (error) {
      this.dispatchEvent(new Event("lost"));
      throw new CallFailed(error.name === "TimeoutError" ? "timeout" : "unreachable");
    }
    this.dispatchEvent(new Event("reached"));
    try {
      return { ...(await response.json()), retryAfter: response.headers.get("Retry-After") };
    } catch {
      throw new CallFailed("unreadable", `HTTP ${response.status}`);
    }
  }
}

/**
 * Makes something by a command once: it returns a function of the body. While nobody can say whether a call was carried
 * out, its clientMessageId is kept. So the same body, posted again, makes nothing more.
 */
export function madeOnce(api, path) {
  let open = null;
  return async (body) => {
    const text = JSON.stringify(body);
    if (open?.text !== text) open = { text, clientMessageId: freshKey() };
    try {
      const made = await api.post(path, { ...body, clientMessageId: open.clientMessageId });
      open = null;
      return made;
    } catch (error) {
      if (!error.isUnknown) open = null;
      throw error;
    }
  };
}

/** An id for a send that may have to be repeated. `crypto.randomUUID` exists only on HTTPS and this machine. */
export const freshKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
