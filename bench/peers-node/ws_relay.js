// A relay on `ws`, as its documentation has it: what one connection to /publish/APP sends goes to each of /listen/APP.
"use strict";

const { WebSocketServer } = require("ws");

const rooms = new Map();
const server = new WebSocketServer({ port: Number(process.env.PORT), perMessageDeflate: false });

server.on("connection", (socket, request) => {
  const [, role, app] = request.url.split("/");
  if (!rooms.has(app)) rooms.set(app, new Set());
  const room = rooms.get(app);
  if (role === "listen") {
    room.add(socket);
    socket.on("close", () => room.delete(socket));
  } else {
    socket.on("message", (data) => {
      for (const listener of room) listener.send(data, { binary: false });
    });
  }
});
