package testenv

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// jsTimeout bounds each step of an operation on a stream.
const jsTimeout = time.Minute

// StreamBackup is a JetStream snapshot of a stream, like the files of `nats stream backup`.
type StreamBackup struct {
	stream string
	// manifest is the request of a restore.
	manifest struct {
		Config json.RawMessage `json:"config"`
		State  json.RawMessage `json:"state"`
	}
	chunks [][]byte
}

// BackUpStream takes a snapshot of a stream while it is in use, without its consumers: `nats stream backup
// --no-consumers`.
func BackUpStream(tb testing.TB, url, stream string) StreamBackup {
	tb.Helper()
	nc := connectNATS(tb, url)
	inbox := nats.NewInbox()
	chunks, err := nc.SubscribeSync(inbox)
	if err != nil {
		tb.Fatalf("back up stream %s: %v", stream, err)
	}
	b := StreamBackup{stream: stream}
	ask(tb, nc, "$JS.API.STREAM.SNAPSHOT."+stream, map[string]any{"deliver_subject": inbox, "no_consumers": true}, &b.manifest)
	for {
		chunk, err := chunks.NextMsg(jsTimeout)
		if err != nil {
			tb.Fatalf("back up stream %s: %v", stream, err)
		}
		if len(chunk.Data) == 0 {
			return b
		}
		b.chunks = append(b.chunks, chunk.Data)
		if chunk.Reply == "" {
			continue
		}
		if err := chunk.Respond(nil); err != nil { // the server waits for this response
			tb.Fatalf("back up stream %s: %v", stream, err)
		}
	}
}

// RestoreStream creates the stream of a backup on a server that has none of its name: `nats stream restore`.
func RestoreStream(tb testing.TB, url string, b StreamBackup) {
	tb.Helper()
	nc := connectNATS(tb, url)
	var begun struct {
		DeliverSubject string `json:"deliver_subject"`
	}
	ask(tb, nc, "$JS.API.STREAM.RESTORE."+b.stream, b.manifest, &begun)
	for _, chunk := range b.chunks {
		if _, err := nc.Request(begun.DeliverSubject, chunk, jsTimeout); err != nil {
			tb.Fatalf("restore stream %s: %v", b.stream, err)
		}
	}
	ask(tb, nc, begun.DeliverSubject, nil, &struct{}{})
}

// RemoveConsumer deletes a durable consumer and with it its position: `nats consumer rm`.
func RemoveConsumer(tb testing.TB, url, stream, consumer string) {
	tb.Helper()
	js, err := jetstream.New(connectNATS(tb, url))
	if err == nil {
		ctx, cancel := context.WithTimeout(tb.Context(), jsTimeout)
		defer cancel()
		err = js.DeleteConsumer(ctx, stream, consumer)
	}
	if err != nil {
		tb.Fatalf("remove consumer %s: %v", consumer, err)
	}
}

// PublishRaw publishes arbitrary data, as none of our programs would.
func PublishRaw(tb testing.TB, url, subject string, data []byte) {
	tb.Helper()
	js, err := jetstream.New(connectNATS(tb, url))
	if err != nil {
		tb.Fatalf("open JetStream: %v", err)
	}
	if _, err := js.Publish(tb.Context(), subject, data); err != nil {
		tb.Fatalf("publish to %s: %v", subject, err)
	}
}

func connectNATS(tb testing.TB, url string) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		tb.Fatalf("connect to nats: %v", err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

// ask calls JetStream's API and decodes the answer into the value.
func ask(tb testing.TB, nc *nats.Conn, subject string, question, into any) {
	tb.Helper()
	var body []byte
	if question != nil {
		var err error
		if body, err = json.Marshal(question); err != nil {
			tb.Fatal(err)
		}
	}
	answer, err := nc.Request(subject, body, jsTimeout)
	if err != nil {
		tb.Fatalf("ask %s: %v", subject, err)
	}
	var failed struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &failed); err != nil || failed.Error != nil {
		tb.Fatalf("ask %s: %s", subject, answer.Data)
	}
	if err := json.Unmarshal(answer.Data, into); err != nil {
		tb.Fatalf("ask %s: %v", subject, err)
	}
}
