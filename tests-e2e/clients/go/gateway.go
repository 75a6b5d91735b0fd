// A gateway on coder/websocket: it sends each line of the input as a frame, and prints each frame it receives.
// Usage: gateway ADDRESS
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"

	"github.com/coder/websocket"
)

// Envelope is what a frame holds. Its fields are those of the Java version and no others.
type Envelope struct {
	Success bool            `json:"success"`
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

func main() {
	ctx := context.Background()
	connection, _, err := websocket.Dial(ctx, os.Args[1], nil)
	if err != nil {
		print(map[string]any{"event": "threw", "error": "Dial", "message": err.Error()})
		os.Exit(1)
	}
	connection.SetReadLimit(1 << 20)
	go forwardInput(ctx, connection)
	for {
		_, frame, err := connection.Read(ctx)
		if err != nil {
			print(map[string]any{"event": "closed", "code": websocket.CloseStatus(err)})
			return
		}
		printParsed(frame)
	}
}

func forwardInput(ctx context.Context, connection *websocket.Conn) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if err := connection.Write(ctx, websocket.MessageText, lines.Bytes()); err != nil {
			return
		}
	}
	connection.Close(websocket.StatusNormalClosure, "")
}

func printParsed(frame []byte) {
	decoder := json.NewDecoder(bytes.NewReader(frame))
	decoder.DisallowUnknownFields()
	var envelope Envelope
	if err := decoder.Decode(&envelope); err != nil {
		print(map[string]any{"event": "threw", "error": "Decode", "message": err.Error()})
		return
	}
	print(map[string]any{"event": "parsed", "envelope": envelope})
}

func print(event map[string]any) {
	json.NewEncoder(os.Stdout).Encode(event)
}
