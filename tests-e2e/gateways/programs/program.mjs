// A gateway of imc-gateway.js that tests talk to: it reads commands and writes events, each a line of JSON.

import { readFile } from "node:fs/promises";
import readline from "node:readline";
import { connect, Ended, FileStore, ImcError, MemoryStore } from "./imc-gateway.js";

const tell = (event, fields) => process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);

function tellEvent({ type, message, notice, isRepaired }) {
  if (message) tell(type, { id: message.messageId, content: message.content, isRepaired });
  else if (notice) tell(type, { id: notice.informationId, content: notice.content });
  else tell(type, { isRepaired });
}

async function send(gateway, { key, groupId, userId, content }) {
  try {
    const sent = await gateway.send(groupId, userId, content, { clientMessageId: key });
    tell("sent", { key, id: sent.messageId, duplicate: sent.duplicate });
  } catch (error) {
    if (!(error instanceof ImcError || error instanceof Ended)) throw error;
    tell("refused", { key, code: error.code });
  }
}

async function main({ url, appId, gatewayId, token: path, store, notices, buffer = 256 }) {
  const token = async () => {
    tell("token");
    return readFile(path, "utf8");
  };
  const gateway = await connect(url, appId, gatewayId, {
    token: path && token,
    store: store ? new FileStore(store) : new MemoryStore(),
    notices,
    buffer,
  });
  tell("connected");
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    if (command.send) void send(gateway, command.send);
    for (let left = command.take ?? 0; left > 0; left -= 1) tellEvent((await gateway.next()).value);
  }
  await gateway.done();
  await gateway.close();
}

try {
  await main(JSON.parse(process.argv[2]));
} catch (error) {
  if (!(error instanceof Ended)) throw error;
  tell("ended", { code: error.code, kind: error.constructor.name });
  process.exit();
}
