// Sends, recalls and queries with a client that oapi-codegen generated. Usage: client ADDRESS APP
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
)

func main() {
	ctx := context.Background()
	app, lobby, cause, kind, limit := os.Args[2], "lobby", "typo", int32(3), int32(10)
	imc, err := NewClientWithResponses(os.Args[1])
	check(err)
	sent, err := imc.SendMessageWithResponse(ctx, SendMessage{
		AppId: app, GroupId: lobby, UserId: "ann", Content: "hello", Type: &kind,
	})
	check(err)
	recalled, err := imc.RecallMessageWithResponse(ctx, RecallMessage{
		AppId: app, MessageId: sent.JSON200.Data.MessageId, RecallCause: &cause,
	})
	check(err)
	page, err := imc.QueryMessagesWithResponse(ctx, &QueryMessagesParams{AppId: app, GroupId: &lobby, Limit: &limit})
	check(err)
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"sent": sent.JSON200.Data, "recalled": recalled.JSON200.Data, "found": page.JSON200.Data.Messages,
	})
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
