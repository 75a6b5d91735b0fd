// Sends, recalls and queries with the types that openapi-typescript generated. Usage: node main.js ADDRESS APP
import createClient from "openapi-fetch";
import type { paths } from "./api.js";

const [address, app] = process.argv.slice(2) as [string, string];
const imc = createClient<paths>({ baseUrl: address });

const { data: sent } = await imc.POST("/v1/commands/send-message", {
  body: { appId: app, groupId: "lobby", userId: "ann", content: "hello", type: 3 },
});
const messageId: string = sent!.data.messageId;
const { data: recalled } = await imc.POST("/v1/commands/recall-message", {
  body: { appId: app, messageId, recallCause: "typo" },
});
const { data: page } = await imc.GET("/v1/queries/messages", {
  params: { query: { appId: app, groupId: "lobby", limit: 10 } },
});
console.log(JSON.stringify({ sent: sent!.data, recalled: recalled!.data, found: page!.data.messages }));
