/** The page of the group chat: one WebSocket to its gateway, which it makes anew whenever it ends. */

const RECALL_MS = 120_000;
const LONGEST_PAUSE_MS = 8_000;
const NEAR_PX = 120;

const find = (selector) => document.querySelector(selector);
const [log, list, unsent, state, fault] = ["#log", "#messages", "#unsent", "#state", "#fault"].map(find);
const given = new URLSearchParams(location.search);
const [name, room] = [given.get("name"), given.get("room") ?? "lobby"];

const messages = new Map(); // elements, by the id of the message
const sends = new Map(); // what has no answer yet: {content, element}, by key
let socket = null;
let failures = 0;
let hasMore = false;
let isLoading = false;

if (!name) {
  find("#welcome").hidden = false;
} else {
  document.title = `${room} · Group chat`;
  find("#chat").hidden = false;
  find("header h1").textContent = room;
  showRooms([room]);
  connect();
}

function connect() {
  say("Connecting …", true);
  socket = new WebSocket(`${location.origin.replace("http", "ws")}/chat?${new URLSearchParams({ room, name })}`);
  socket.addEventListener("open", () => {
    failures = 0;
    for (const [key, { content }] of sends) ask({ kind: "send", key, content });
  });
  socket.addEventListener("message", ({ data }) => take(JSON.parse(data)));
  socket.addEventListener("close", () => {
    isLoading = false;
    failures += 1;
    const pause = Math.random() * Math.min(LONGEST_PAUSE_MS, 500 * 2 ** failures);
    say("The chat can't be reached. Trying again …", true);
    setTimeout(connect, pause);
  });
}

function ask(frame) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
}

function take(frame) {
  const { kind } = frame;
  if (kind === "imc") {
    if (frame.isConnected) say(`You are ${name}`);
    else say("The chat has lost IMC. What you miss now comes later.", true);
  } else if (kind === "ended") say(`This gateway was stopped: ${frame.reason}`, true);
  else if (kind === "reload") socket.close();
  else if (kind === "rooms") showRooms(frame.rooms);
  else if (kind === "activity") noteActivity(frame.room);
  else if (kind === "notices") find("#notices").replaceChildren(...frame.notices.map(noticeElement));
  else if (kind === "notice") find("#notices").prepend(noticeElement(frame.notice));
  else if (kind === "noticeDeleted") find(`#notices [data-id="${frame.id}"]`)?.remove();
  else if (kind === "history") showHistory(frame);
  else if (kind === "message") keepingThePlace(() => show(frame.message));
  else if (kind === "recalled") recall(frame.id);
  else if (kind === "sent") answered(frame.key);
  else if (kind === "failed") failed(frame);
}

/** Show a page of history: the newest replaces what is there, since recalls may have been missed. */
function showHistory({ messages: page, isNewest, ...more }) {
  ({ hasMore } = more);
  isLoading = false;
  const fromBottom = log.scrollHeight - log.scrollTop;
  if (isNewest) {
    messages.clear();
    list.replaceChildren();
  }
  page.forEach(show);
  log.scrollTop = isNewest ? log.scrollHeight : log.scrollHeight - fromBottom;
  find("#beginning").textContent = hasMore ? "Scroll up for more" : "This is where the room begins";
}

log.addEventListener("scroll", () => {
  if (isNearBottom()) find("#newest").hidden = true;
  if (log.scrollTop < NEAR_PX && hasMore && !isLoading && messages.size > 0) {
    isLoading = true;
    ask({ kind: "older", before: list.firstElementChild.dataset.id });
  }
});

/** Show a message at its place, which its id tells: ids grow with time, and are decimal numbers. */
function show(message) {
  if (messages.has(message.id)) return;
  let last = list.lastElementChild;
  while (last && isBefore(message.id, last.dataset.id)) last = last.previousElementSibling;
  const element = messageElement(message);
  messages.set(message.id, element);
  if (last) last.after(element);
  else list.prepend(element);
  if (message.isRecalled) recall(message.id);
}

function isBefore(one, other) {
  return one.length === other.length ? one < other : one.length < other.length;
}

function messageElement(message) {
  const isOwn = message.name === name;
  const time = new Date(message.time);
  const about = make("p", { className: "about" }, [
    make("strong", { textContent: message.name }),
    make("time", { textContent: time.toLocaleTimeString([], { timeStyle: "short" }), title: time.toLocaleString() }),
  ]);
  about.style.setProperty("--hue", [...message.name].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) % 360, 7));
  const left = message.time + RECALL_MS - Date.now();
  if (isOwn && left > 0) {
    const button = make("button", { textContent: "Recall", className: "recall" });
    button.addEventListener("click", () => ask({ kind: "recall", id: message.id }));
    setTimeout(() => button.remove(), left);
    about.append(button);
  }
  const content = make("p", { className: "content", textContent: message.content });
  const element = make("li", { className: isOwn ? "own" : "" }, [about, content]);
  element.dataset.id = message.id;
  return element;
}

function recall(id) {
  const element = messages.get(id);
  if (!element) return;
  element.classList.add("recalled");
  element.querySelector(".content").textContent = "This message was recalled";
  element.querySelector(".recall")?.remove();
}

function noticeElement(notice) {
  const [author, content] = [notice.name, notice.content];
  const element = make("li", {}, [make("strong", { textContent: author }), make("span", { textContent: content })]);
  element.dataset.id = notice.id;
  if (notice.name === name) {
    const button = make("button", { textContent: "Unpin" });
    button.addEventListener("click", () => ask({ kind: "deleteNotice", id: notice.id }));
    element.append(button);
  }
  return element;
}

find("#composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = event.target.elements.content;
  const content = input.value;
  input.value = "";
  fault.hidden = true;
  if (event.submitter?.value === "notice") return ask({ kind: "notice", content });
  const key = crypto.getRandomValues(new Uint32Array(4)).join("-");
  const about = make("p", { className: "about", textContent: "sending …" });
  const element = make("li", { className: "own" }, [about, make("p", { className: "content", textContent: content })]);
  sends.set(key, { content, element });
  unsent.append(element);
  log.scrollTop = log.scrollHeight;
  ask({ kind: "send", key, content }); // if there is no connection now, the next one asks again
});

function answered(key) {
  sends.get(key)?.element.remove();
  sends.delete(key);
}

function failed({ about, reason }) {
  fault.textContent = reason;
  fault.hidden = false;
  if (about === null) socket.close(); // the room could not be shown: it is asked for again
  else if (about.kind === "send") answered(about.key);
  else if (about.kind === "older") isLoading = false;
}

function showRooms(rooms) {
  const names = [...new Set([room, ...rooms])].sort();
  find("#rooms").replaceChildren(...names.map(roomElement));
}

function roomElement(other) {
  const link = make("a", { textContent: other, href: `?${new URLSearchParams({ name, room: other })}` });
  if (other === room) link.setAttribute("aria-current", "page");
  link.dataset.room = other;
  return make("li", {}, [link]);
}

function noteActivity(other) {
  const isKnown = [...find("#rooms").querySelectorAll("a")].find((link) => link.dataset.room === other);
  if (!isKnown) find("#rooms").append(roomElement(other));
  if (other !== room) find("#rooms").querySelector(`a[data-room="${CSS.escape(other)}"]`).classList.add("news");
}

find("#new-room").addEventListener("submit", (event) => {
  event.preventDefault();
  location.search = new URLSearchParams({ name, room: event.target.elements.room.value.trim() });
});

find("#newest").addEventListener("click", () => (log.scrollTop = log.scrollHeight));

/** Follow the newest message, unless older ones are being read. */
function keepingThePlace(change) {
  const follows = isNearBottom();
  change();
  if (follows) log.scrollTop = log.scrollHeight;
  else find("#newest").hidden = false;
}

function isNearBottom() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_PX;
}

function say(words, isAway = false) {
  state.textContent = words;
  state.classList.toggle("away", isAway);
}

function make(tag, properties, children = []) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
