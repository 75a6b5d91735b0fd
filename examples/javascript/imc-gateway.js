/**
 * A gateway of IMC, in one file: copy it. It needs Node 20 or newer and the package `ws`.
 *
 *     import { connect, FileStore } from "./imc-gateway.js";
 *
 *     const imc = await connect("ws://127.0.0.1:8000", "demo", "gateway-1", { store: new FileStore("position") });
 *     await imc.send("lobby", "ann", "hello");
 *     for await (const event of imc) {
 *       if (event.type === "messageSent") console.log(event.message.userId, event.message.content);
 *     }
 *
 * It hands out each event once and in order, and knows what became of its sends, across cuts, restarts and
 * failovers. An event counts as done when the next one is asked for; then its position goes to the store, and a new
 * process continues after it. If the old one was killed, the last events may come again.
 *
 * | event                              | what it holds                                                    |
 * |------------------------------------|------------------------------------------------------------------|
 * | `messageSent`, `messageRecalled`   | `message`, and `isRepaired`: whether it was found in the history |
 * | `noticePublished`, `noticeDeleted` | `notice`, if the option `notices` is set                         |
 * | `erased`                           | `erasure`: erase what you keep of its `userId` or `groupId`,     |
 * |                                    | or of the app if both are null, from the events before this one  |
 * | `gap`                              | `isRepaired`; IMC could not prove that nothing was missed        |
 *
 * After a gap the history is read: what was missed comes before the `gap`, group by group. If the history
 * can't be read, `isRepaired` of the gap is false.
 *
 * It is not for browsers: the token of a gateway opens a whole app.
 */

import { randomUUID } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket, { createWebSocketStream } from "ws";

const OPEN_MS = 10_000;
const CALL_MS = 20_000;
const CLOSE_MS = 1_000;
const SILENCE_MS = 45_000; // IMC pings every 15 seconds
const RESEND_MS = 1_000;
const SAVE_MS = 200;
const STUCK_MS = 200; // after so long, the loop that takes events may wait for a send whose answer is behind them
const REPAIR_MS = 60_000; // how long the history is asked for after a gap, while it is out of reach
const MARGIN_MS = 180_000; // how long before the newest known message the history is read from: recalls
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
const LEAD_MS = 60_000; // how long before its end a token is replaced
const PAGE = 500;
const MAX_KNOWN = 20_000;
const MAX_FRAME_BYTES = 1_048_576;

const BAD_TOKEN = 4401;
const AT_ONCE = new Set([1000, 1001, 1005, 1006, 1012, 4408]);
const FINAL = new Set([1003, 1007, 1008, 1009]); // so are those from 4400 on, but for 4408
const RETRYABLE_STATUSES = new Set([408, 425, 429]);
const RETRYABLE_CODES = new Set([42901, 50001, 50301]);

/** IMC refused something. `code` is one of the codes of failures; `retryAfterMs` may be undefined. */
export class ImcError extends Error {
  constructor(code, message, isRetryable, retryAfterMs) {
    super(`${code}: ${message}`);
    Object.assign(this, { code, isRetryable, retryAfterMs });
  }
}

/** The connection has ended, and connecting again would not help. `code`: a close code, or an HTTP status. */
export class Ended extends Error {
  constructor(code, reason) {
    super(`${code}: ${reason}`);
    Object.assign(this, { code, reason });
  }
}

/** A newer connection has the same gatewayId. Two that both came back would replace each other for ever. */
export class Replaced extends Ended {}

/** An operator has disconnected the gateway. */
export class Disconnected extends Ended {}

/** Keeps the position for as long as the process lives. A store of your own has the same two methods. */
export class MemoryStore {
  constructor(position = null) {
    this.position = position;
  }
  /** The text that was saved last, or null. */
  async load() {
    return this.position;
  }
  /** Keep `position` instead of the one before. */
  async save(position) {
    this.position = position;
  }
}

/** Keeps the position in a file. A crash leaves the older text or the newer one, both whole. */
export class FileStore {
  #path;
  constructor(path) {
    this.#path = path;
  }
  async load() {
    try {
      return (await readFile(this.#path, "utf8")) || null;
    } catch (error) {
      if (error.code === "ENOENT") return null;
      throw error;
    }
  }
  async save(position) {
    await writeFile(`${this.#path}.new`, position);
    await rename(`${this.#path}.new`, this.#path);
  }
}

/**
 * Connect as a gateway of the app `appId`. Returns it once it is connected.
 *
 * `url` is where IMC answers, such as `wss://imc.example.com`. The options, of which none is needed:
 *
 * - `token`: a text, or a function, which may be async, that returns a fresh one: then it is renewed in time.
 * - `store` keeps the position. Without it a new process begins with what happens from then on.
 * - `notices`: whether notices are wanted.
 * - `queriesUrl`: where queries are answered, if not below `url`.
 * - `buffer`: how many events may wait to be handed out; 256 by default.
 * - `maxUnanswered`: how many sends may wait for their answer; 1,000 by default.
 *
 * Throws `Ended` if it can't be connected, and what the store or the function of the token throws.
 */
export async function connect(url, appId, gatewayId, options = {}) {
  const gateway = new Gateway(url, appId, gatewayId, options);
  await gateway.connected();
  return gateway;
}

/** Made by `connect`. Iterate over it for events. */
export class Gateway {
  #addresses;
  #appId;
  #options;
  #history;
  #inbox = []; // pairs of an event, and the position once it is done
  #tradedAt = 0; // when something came into the inbox or left it
  #unanswered = new Map(); // by clientMessageId, in the order of the sends
  #known = new KnownEvents();
  #moved = new Signal(); // something was handed out, answered, connected or ended
  #read; // the position of the newest event in the inbox
  #handed; // that of the newest event that was handed out
  #saved;
  #savedAt = 0;
  #live = null; // the socket, once 2000 has come
  #socket = null;
  #isBehind = false; // this connection left events out, since sends waited for answers while the inbox was full
  #fault = null;
  #closing = new AbortController();
  #running;

  constructor(url, appId, gatewayId, options) {
    this.#addresses = new Addresses(url, appId, gatewayId);
    this.#appId = appId;
    this.#options = { store: new MemoryStore(), buffer: 256, maxUnanswered: 1000, ...options };
    this.#history = new History(options.queriesUrl ?? this.#addresses.web, appId, () => this.#freshToken());
    this.#running = this.#run();
  }

  /** Whether there is a connection now. Events and sends do not depend on it: they are made up for. */
  get isConnected() {
    return this.#live !== null;
  }

  /** Wait until it is connected. Throws as `connect`. */
  async connected() {
    while (!this.isConnected) {
      if (this.#fault) throw this.#fault;
      await this.#moved.wait();
    }
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  /** The next event, as iterators return it. Throws `Ended` when the connection has ended for good. */
  async next() {
    const isDue = this.#inbox.length === 0 || Date.now() - this.#savedAt >= SAVE_MS;
    if (isDue) await this.#save();
    while (this.#inbox.length === 0) {
      if (this.#closing.signal.aborted) return { value: undefined, done: true };
      if (this.#fault) throw this.#fault;
      await this.#moved.wait();
    }
    const [value, position] = this.#inbox.shift();
    this.#handed = position;
    this.#tradedAt = performance.now();
    this.#moved.notify();
    // Now there is room for what was left out: the next connection has it.
    if (this.#isBehind && this.#inbox.length === 0) this.#socket?.terminate();
    return { value, done: false };
  }

  /**
   * Send a message; returns `{messageId, createTime, duplicate}` when it is known to be in the log, across cuts
   * and restarts. Give a `clientMessageId` of your own to repeat the send from another process. Throws
   * `ImcError` if it is refused for good, and `Ended`.
   */
  async send(groupId, userId, content, { type, clientMessageId = randomUUID() } = {}) {
    while (this.#unanswered.size >= this.#options.maxUnanswered && !this.#fault) await this.#moved.wait();
    if (this.#fault) throw this.#fault;
    if (this.#unanswered.has(clientMessageId)) throw new Error(`${clientMessageId} is being sent already`);
    const frame = JSON.stringify({ groupId, userId, content, type, clientMessageId });
    return new Promise((resolve, reject) => {
      this.#unanswered.set(clientMessageId, { frame, resolve, reject });
      this.#moved.notify();
      this.#write(clientMessageId);
    });
  }

  /** The last event is done, though no other one is asked for: call this before you stop. */
  async done() {
    await this.#save();
  }

  /** Close the connection. Sends without an answer throw then: nobody knows what became of them. */
  async close() {
    this.#closing.abort();
    this.#socket?.close();
    setTimeout(() => this.#socket?.terminate(), CLOSE_MS).unref();
    this.#moved.notify();
    await this.#running;
  }

  async #save() {
    if (this.#handed === this.#saved) return;
    const position = this.#handed;
    await this.#options.store.save(position.text);
    this.#saved = position;
    this.#savedAt = Date.now();
  }

  /** Stay connected until there is no use in it. */
  async #run() {
    try {
      this.#read = this.#handed = this.#saved = Position.read(await this.#options.store.load());
      let failures = 0;
      let refusedTokens = 0;
      while (!this.#closing.signal.aborted) {
        const ending = await this.#connectOnce();
        this.#live = this.#socket = null;
        refusedTokens = ending.isOfToken ? refusedTokens + 1 : 0;
        const mayRenew = refusedTokens === 1 && typeof this.#options.token === "function";
        if (ending.fault && !mayRenew) throw ending.fault;
        failures = ending.wasConnected ? 0 : failures + 1;
        await sleep(ending.pauseMs ?? pauseAfter(failures), undefined, { signal: this.#closing.signal });
      }
    } catch (fault) {
      this.#fault = fault;
    }
    if (this.#closing.signal.aborted) this.#fault = new Error("the gateway was closed");
    for (const send of this.#unanswered.values()) send.reject(this.#fault);
    this.#unanswered.clear();
    this.#moved.notify();
  }

  async #connectOnce() {
    this.#isBehind = false;
    const token = await this.#freshToken();
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    let ending;
    for (const url of await this.#urls(headers)) {
      const opened = await open(this.#addresses.withParameters(url, this.#read.cursor, this.#options), headers);
      if (opened.socket) return await this.#listen(opened, token);
      ending = opened.ending;
    }
    return ending;
  }

  async #freshToken() {
    const { token } = this.#options;
    return typeof token === "function" ? await token() : token;
  }

  /** Where to connect: at its node, if there is one, then at the common address. */
  async #urls(headers) {
    try {
      const reply = await fetch(this.#addresses.node, { headers, signal: AbortSignal.timeout(OPEN_MS) });
      const { data } = await reply.json();
      return reply.ok ? [data.connectUrl, this.#addresses.common] : [this.#addresses.common];
    } catch {
      return [this.#addresses.common];
    }
  }

  /** Take frames until the connection ends. */
  async #listen({ socket, frames, closed }, token) {
    this.#socket = socket;
    if (this.#closing.signal.aborted) socket.close();
    const watch = setTimeout(() => socket.terminate(), SILENCE_MS);
    for (const heard of ["ping", "message"]) socket.on(heard, () => watch.refresh());
    const renewal = this.#renew(socket, token);
    let refusal = null;
    try {
      // Nothing is read from the network while frames wait here. Leaving the loop ends the connection.
      for await (const text of withoutErrors(frames)) {
        refusal = (await this.#take(socket, JSON.parse(text))) ?? refusal;
        watch.refresh(); // a slow loop does not hear the pings behind the frames that wait for it
      }
    } finally {
      clearTimeout(watch);
      renewal.abort();
    }
    const { code, reason } = await closed;
    return refusal ?? ofClose(code, reason, this.#live === socket);
  }

  /** Take one frame; returns an ending if it is a refusal of the connection. */
  async #take(socket, { code, data, cursor, message }) {
    if (code === 2000) {
      // It goes to the store as it is: a new process must not begin later than this one.
      if (this.#read.cursor === null) this.#read = this.#handed = this.#read.after(cursor, Date.now());
      this.#live = socket;
      this.#moved.notify();
      for (const clientMessageId of this.#unanswered.keys()) this.#write(clientMessageId);
    } else if (code === 2001 || code === 2002) {
      const event = { type: code === 2001 ? "messageSent" : "messageRecalled", message: data, isRepaired: false };
      const position = this.#read.after(cursor, data.createTime);
      if (this.#known.has(event)) {
        // It was found in the history after a gap, and the log has it too.
        if (!this.#isBehind) this.#read = position;
      } else if (await this.#put(event, position)) this.#known.learn(event);
    } else if (code === 2003) {
      const { clientMessageId, ...sent } = data;
      this.#answered(clientMessageId)?.resolve(sent);
    } else if (code === 2004 || code === 2005) {
      const event = { type: code === 2004 ? "noticePublished" : "noticeDeleted", notice: data };
      await this.#put(event, this.#read.after(cursor));
    } else if (code === 2006) {
      await this.#put({ type: "erased", erasure: data }, this.#read.after(cursor));
    } else if (code === 4000) {
      return { words: message, fault: data.retryable ? undefined : new Ended(data.error, message) };
    } else if (code === 4001) {
      this.#refused(message, data);
    } else if (code === 4002) {
      await this.#repair(data.to);
    }
    return undefined;
  }

  /** Hand an event on; returns whether it was. Waits for room, but not long while sends wait for answers. */
  async #put(event, position) {
    while (this.#inbox.length >= this.#options.buffer && !this.#isBehind && !this.#closing.signal.aborted) {
      const patience = this.#unanswered.size > 0 ? this.#tradedAt + STUCK_MS - performance.now() : Infinity;
      // Answers come on this connection too. What is left out now comes after a reconnect.
      if (patience <= 0) this.#isBehind = true;
      else await this.#moved.wait(patience);
    }
    if (this.#isBehind || this.#closing.signal.aborted) return false;
    this.#read = position;
    this.#inbox.push([event, position]);
    this.#tradedAt = performance.now();
    this.#moved.notify();
    return true;
  }

  #write(clientMessageId) {
    const send = this.#unanswered.get(clientMessageId);
    if (send && this.#live?.readyState === WebSocket.OPEN) this.#live.send(send.frame, () => {});
  }

  #answered(clientMessageId) {
    const send = this.#unanswered.get(clientMessageId);
    this.#unanswered.delete(clientMessageId);
    this.#moved.notify();
    return send;
  }

  #refused(message, { error, retryable, retryAfter, clientMessageId }) {
    if (retryable) {
      const pause = (retryAfter ?? RESEND_MS) * (1 + Math.random() / 2);
      setTimeout(() => this.#write(clientMessageId), pause).unref();
    } else {
      this.#answered(clientMessageId)?.reject(new ImcError(error, message, false, retryAfter));
    }
  }

  /** Send a fresh token in time: a connection ends with its token. */
  #renew(socket, first) {
    const stop = new AbortController();
    const renewing = async () => {
      let token = first;
      while (typeof this.#options.token === "function") {
        const pause = renewIn(token);
        if (pause === undefined) return;
        await sleep(pause, undefined, { signal: stop.signal });
        token = await this.#freshToken();
        socket.send(JSON.stringify({ token }), () => {});
      }
    };
    renewing().catch(() => {}); // if there is no fresh token, IMC ends the connection, and the next one says why
    return stop;
  }

  /** Hand on what the history knows of the time of a gap, then tell of the gap itself. */
  async #repair(to) {
    const deadline = Date.now() + REPAIR_MS;
    let isRepaired = false;
    for (let failures = 2; !isRepaired; failures += 1) {
      try {
        for await (const event of this.#history.missed(this.#read.newest, this.#known, to)) {
          if (!(await this.#put(event, this.#read))) return; // the gap is told again after the reconnect
          this.#known.learn(event);
        }
        isRepaired = true;
      } catch (fault) {
        const isFinal = fault instanceof ImcError && !fault.isRetryable;
        if (isFinal || Date.now() > deadline || this.#closing.signal.aborted) break;
        await sleep(pauseAfter(failures), undefined, { signal: this.#closing.signal });
      }
    }
    await this.#put({ type: "gap", isRepaired }, this.#read.after(to));
  }
}

/** The addresses of one gateway. */
class Addresses {
  #path;

  constructor(url, appId, gatewayId) {
    const { protocol, search, hash, href } = new URL(url);
    if (!["ws:", "wss:", "http:", "https:"].includes(protocol) || search || hash) {
      throw new TypeError("url must be ws://HOST, wss://HOST, http://HOST or https://HOST, a path may follow");
    }
    this.web = href.replace(/^ws/, "http").replace(/\/$/, "");
    this.#path = `/v1/gateways/${encodeURIComponent(appId)}/${encodeURIComponent(gatewayId)}`;
  }

  /** Where to ask which node the gateway belongs to. */
  get node() {
    return `${this.web}${this.#path}/node`;
  }

  /** The WebSocket at the common address. */
  get common() {
    return this.web.replace(/^http/, "ws") + this.#path;
  }

  withParameters(url, cursor, { notices }) {
    const query = new URLSearchParams({ ...(cursor && { cursor }), ...(notices && { notices: "1" }) });
    return query.size > 0 ? `${url}?${query}` : url;
  }
}

/** Where a gateway is in the log of its app: a cursor, and the `createTime` of the newest message until there. */
class Position {
  constructor(cursor = null, newest = 0) {
    Object.assign(this, { cursor, newest });
  }

  after(cursor, newest = 0) {
    return new Position(cursor, Math.max(this.newest, newest));
  }

  get text() {
    return `${this.newest} ${this.cursor ?? ""}`;
  }

  static read(text) {
    if (!text) return new Position();
    const found = /^(\d+) (.*)$/.exec(text);
    if (!found) throw new Error("the store holds what is no position of a gateway; empty it, and history is lost");
    return new Position(found[2] || null, Number(found[1]));
  }
}

/** The newest messages that the gateway got, by id, and whether it was told that they were recalled. */
class KnownEvents {
  #recalled = new Map();

  learn({ type, message: { messageId } }) {
    const wasRecalled = this.#recalled.get(messageId) ?? false;
    this.#recalled.delete(messageId);
    this.#recalled.set(messageId, wasRecalled || type === "messageRecalled");
    if (this.#recalled.size > MAX_KNOWN) this.#recalled.delete(this.#recalled.keys().next().value);
  }

  /** Whether the event was handed on, or one that says more. */
  has({ type, message: { messageId } }) {
    const wasRecalled = this.#recalled.get(messageId);
    return wasRecalled !== undefined && (wasRecalled || type === "messageSent");
  }
}

/** What happened to the messages of an app, read over HTTP. */
class History {
  #url;
  #appId;
  #freshToken;

  constructor(url, appId, freshToken) {
    this.#url = url.replace(/\/$/, "");
    this.#appId = appId;
    this.#freshToken = freshToken;
  }

  /** What is not known since shortly before the time `newest`, up to a cursor: group by group, each in order. */
  async *missed(newest, known, minCursor) {
    const start = Math.max(0, newest - MARGIN_MS);
    for await (const groupId of this.#groupsSince(start, minCursor)) {
      for await (const message of this.#messagesSince(groupId, start, minCursor)) {
        const type = message.status === 0 ? "messageRecalled" : "messageSent";
        const event = { type, message, isRepaired: true };
        if (!known.has(event)) yield event;
      }
    }
  }

  async *#groupsSince(start, minCursor) {
    for (let after; ; ) {
      const { groups, hasMore } = await this.#query("groups", { after, limit: PAGE, minCursor });
      for (const { groupId, updateTime } of groups) {
        if (updateTime < start) return;
        yield groupId;
      }
      if (!hasMore) return;
      after = groups.at(-1).newMessage.messageId;
    }
  }

  /** The messages of a group, oldest first, a page in memory at a time. */
  async *#messagesSince(groupId, startTime, minCursor) {
    const pageOf = (edge) => this.#query("messages", { groupId, startTime, limit: PAGE, minCursor, ...edge });
    let page = await pageOf({});
    while (page.hasMore) page = await pageOf({ before: page.messages[0].messageId });
    while (page.messages.length > 0) {
      yield* page.messages;
      page = await pageOf({ after: page.messages.at(-1).messageId });
    }
  }

  async #query(name, parameters) {
    const given = Object.entries({ appId: this.#appId, ...parameters }).filter(([, value]) => value !== undefined);
    const token = await this.#freshToken();
    const reply = await fetch(`${this.#url}/v1/queries/${name}?${new URLSearchParams(given)}`, {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      signal: AbortSignal.timeout(CALL_MS),
    });
    const { code, message, data } = await reply.json();
    if (code !== 0) throw new ImcError(code, message, RETRYABLE_CODES.has(code));
    return data;
  }
}

/** Lets several wait for something to happen. */
class Signal {
  #waiting = deferred();

  /** Wait for it, but for no more than so many milliseconds. */
  wait(patience = Infinity) {
    if (patience === Infinity) return this.#waiting.promise;
    return Promise.race([this.#waiting.promise, sleep(patience, undefined, { ref: false })]);
  }

  notify() {
    this.#waiting.resolve();
    this.#waiting = deferred();
  }
}

function deferred() {
  let resolve;
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
}

/** Open a WebSocket: `{socket, frames, closed}`, or `{ending}` if there is none. */
function open(url, headers) {
  return new Promise((resolve) => {
    const options = { headers, handshakeTimeout: OPEN_MS, maxPayload: MAX_FRAME_BYTES, perMessageDeflate: false };
    const socket = new WebSocket(url, options);
    // Made before it is open: the first frame may come together with the answer to the upgrade.
    const frames = createWebSocketStream(socket, { readableObjectMode: true }).on("error", () => {});
    const closed = new Promise((done) => {
      socket.once("close", (code, reason) => done({ code, reason: String(reason) }));
    });
    socket.once("open", () => resolve({ socket, frames, closed }));
    socket.once("unexpected-response", (request, response) => {
      request.destroy();
      resolve({ ending: ofStatus(response.statusCode, response.headers["retry-after"]) });
    });
    socket.on("error", (error) => resolve({ ending: { words: error.message } }));
  });
}

/** The frames until the connection ends. How it ended, its close code says. */
async function* withoutErrors(frames) {
  try {
    yield* frames;
  } catch {
    // The connection was cut.
  }
}

/**
 * What the end of a WebSocket means. An ending has `words`; `pauseMs`, if it is known how long to wait; a `fault`, if
 * connecting again would not help; `isOfToken`, if a fresh token may help; `wasConnected`, if it was no failure.
 */
function ofClose(code, reason, wasConnected) {
  const words = `${code}: ${reason}`;
  if (AT_ONCE.has(code)) return { words, wasConnected };
  if (code === BAD_TOKEN) return { words, wasConnected, fault: faultOf(code, reason), isOfToken: true };
  if (FINAL.has(code) || code >= 4400) return { words, fault: faultOf(code, reason) };
  return { words };
}

/** What a refused upgrade means. */
function ofStatus(status, retryAfter) {
  const words = `the upgrade was refused with status ${status}`;
  const fault = new Ended(status, words);
  if (status === 401) return { words, fault, isOfToken: true };
  if (status >= 400 && status < 500 && !RETRYABLE_STATUSES.has(status)) return { words, fault };
  return { words, pauseMs: /^\d+$/.test(retryAfter ?? "") ? Number(retryAfter) * 1000 : undefined };
}

function faultOf(code, reason) {
  const Fault = { 4409: Replaced, 4410: Disconnected }[code] ?? Ended;
  return new Fault(code, reason);
}

/** How long to wait: not at all at first, then a random time up to a bound that doubles. */
function pauseAfter(failures) {
  if (failures < 1) return 0;
  return Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures - 1, 10));
}

/** In how many milliseconds a token should be replaced; undefined if that can't be known. */
function renewIn(token) {
  let end;
  try {
    end = JSON.parse(Buffer.from(token.split(".")[1], "base64url").toString()).exp * 1000;
  } catch {
    return undefined;
  }
  if (!Number.isFinite(end)) return undefined;
  const left = end - Date.now();
  return Math.max(1000, left - Math.min(LEAD_MS, left / 2)); // a short-lived token after half its time
}
