/* A gateway of an app, in the browser: one WebSocket that resumes with its cursor. */

import { CallFailed } from "./api.js";

const RETRIED_OF_44XX = 4408;
const FINAL = [1003, 1007, 1008, 1009];
const REFUSALS = [40001, 40101, 40301, 42901];
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

/** Dispatches "push" with a frame, and "state" with `{ name, code, reason, failed }`: connecting, live, waiting, ended. */
export class Tail extends EventTarget {
  #api;
  #session;
  #path;
  #socket = null;
  #cursor = null;
  #pause = 0;
  #timer = null;

  constructor(api, session, appId, gatewayId) {
    super();
    this.#api = api;
    this.#session = session;
    this.#path = `/v1/gateways/${encodeURIComponent(appId)}/${encodeURIComponent(gatewayId)}`;
  }

  open() {
    const query = new URLSearchParams({ notices: "1" });
    if (this.#cursor) query.set("cursor", this.#cursor);
    if (this.#session.token) query.set("access_token", this.#session.token);
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}${this.#path}?${query}`);
    let wasOpen = false;
    this.#socket = socket;
    this.#tell("connecting");
    socket.addEventListener("open", () => {
      wasOpen = true;
    });
    socket.addEventListener("message", (event) => this.#receive(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => {
      if (this.#socket === socket) this.#ended(event, wasOpen);
    });
  }

  close() {
    clearTimeout(this.#timer);
    this.#socket?.close(1000);
    this.#socket = null;
  }

  #receive(frame) {
    if (frame.code === 4002) this.#cursor = frame.data.to;
    else if (frame.cursor) this.#cursor = frame.cursor;
    if (frame.code === 2000) {
      this.#pause = 0;
      this.#tell("live");
    }
    this.dispatchEvent(new CustomEvent("push", { detail: frame }));
  }

  async #ended({ code, reason }, wasOpen) {
    this.#socket = null;
    const failed = wasOpen ? null : await this.#whyRefused();
    if (failed || FINAL.includes(code) || (code >= 4400 && code !== RETRIED_OF_44XX)) {
      this.#tell("ended", { code, reason, failed });
      return;
    }
    this.#tell("waiting", { code, reason });
    this.#timer = setTimeout(() => this.open(), Math.random() * this.#pause);
    this.#pause = Math.min(Math.max(this.#pause * 2, FIRST_PAUSE_MS), LONGEST_PAUSE_MS);
  }

  /* A browser hides the reply to an upgrade that was refused: ask the same path once more without one. */
  async #whyRefused() {
    try {
      await this.#api.get(`${this.#path}/node`);
      return null;
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      return REFUSALS.includes(error.code) ? error : null;
    }
  }

  #tell(name, detail = {}) {
    this.dispatchEvent(new CustomEvent("state", { detail: { name, ...detail } }));
  }
}
