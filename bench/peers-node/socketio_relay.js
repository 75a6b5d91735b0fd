// A server of Socket.IO with its Redis adapter. The same program publishes (ROLE=publisher), from another process, what
// one connection to /publish/APP sends: the adapter takes it through Redis to the server that the listeners are at.
"use strict";

const { createServer } = require("http");
const { createAdapter } = require("@socket.io/redis-adapter");
const { createClient } = require("redis");
const { Server } = require("socket.io");
const { WebSocketServer } = require("ws");

async function main() {
  const publishing = createClient({ url: process.env.REDIS_URL });
  const subscribing = publishing.duplicate();
  await Promise.all([publishing.connect(), subscribing.connect()]);
  const isPublisher = process.env.ROLE === "publisher";
  const http = createServer();
  const adapter = createAdapter(publishing, subscribing);
  // No pings while it is measured: they are frames like any other, at another place in each listener's stream.
  const io = new Server({ adapter, perMessageDeflate: false, pingInterval: 3600_000 });
  io.on("connection", (socket) => socket.join(socket.handshake.query.app));
  if (isPublisher) {
    const publishers = new WebSocketServer({ server: http, perMessageDeflate: false });
    publishers.on("connection", (socket, request) => {
      const app = request.url.split("/")[2];
      socket.on("message", (data) => io.to(app).emit("push", data.toString()));
    });
  } else {
    io.attach(http);
  }
  http.listen(Number(process.env.PORT));
}

main();
