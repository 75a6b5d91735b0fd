// A gateway on `ws`. Each line of the input is sent as a frame; each frame received is printed.
// Usage: node gateway.js ADDRESS
import { createInterface } from "node:readline";
import WebSocket from "ws";

const print = (event) => console.log(JSON.stringify(event));
const socket = new WebSocket(process.argv[2]);

socket.on("open", () => {
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => socket.send(line));
  lines.on("close", () => socket.close());
});
socket.on("message", (frame) => print({ event: "parsed", envelope: JSON.parse(frame) }));
socket.on("error", (error) => print({ event: "threw", error: error.name, message: error.message }));
socket.on("close", (code) => print({ event: "closed", code }));
