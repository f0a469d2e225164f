package testenv

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// queueMessages fill two blocks of a queue's store and start a third.
	queueMessages = 11_000
	// queueBatch is how many of them are published at once, with one sync.
	queueBatch = 1000
	// queueKept means that every third message is kept. A block is rewritten when half of it was removed.
	queueKept = 3
	// queueTime bounds an operation on a whole queue.
	queueTime = 2 * time.Minute
)

// WorkQueue creates a work queue like the product's, fills it with messages of one kilobyte, and removes two of every
// three, so that the server rewrites what it has stored. queueMessages/queueKept messages remain.
func WorkQueue(tb testing.TB, url, name string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), queueTime)
	defer cancel()
	js, err := jetstream.New(connectNATS(tb, url))
	if err == nil {
		err = workQueue(ctx, js, name)
	}
	if err != nil {
		tb.Fatalf("work queue %s: %v", name, err)
	}
}

func workQueue(ctx context.Context, js jetstream.JetStream, name string) error {
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: name, Subjects: []string{name + ".>"}, Storage: jetstream.FileStorage, Retention: jetstream.WorkQueuePolicy,
		AllowAtomicPublish: true,
	})
	if err != nil {
		return err
	}
	for from := 0; from < queueMessages; from += queueBatch {
		if err := fill(ctx, js.Conn(), name, from); err != nil {
			return err
		}
	}
	consumer, err := js.CreateConsumer(ctx, name, jetstream.ConsumerConfig{
		Durable: "taker", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Hour, MaxAckPending: queueMessages,
	})
	if err != nil {
		return err
	}
	batch, err := consumer.Fetch(queueMessages, jetstream.FetchMaxWait(queueTime/2))
	if err != nil {
		return err
	}
	n := 0
	for msg := range batch.Messages() {
		if n++; n%queueKept == 0 {
			continue
		}
		if err := msg.Ack(); err != nil {
			return err
		}
	}
	if err := batch.Error(); err != nil {
		return err
	}
	return settled(ctx, js, name)
}

// fill publishes an atomic batch.
func fill(ctx context.Context, nc *nats.Conn, name string, from int) error {
	for i := range queueBatch {
		msg := nats.NewMsg(fmt.Sprintf("%s.%d", name, i%50))
		msg.Data = queued(uint64(from + i + 1)) //nolint:gosec // not negative
		msg.Header.Set("Nats-Batch-Id", strconv.Itoa(from))
		msg.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		if i < queueBatch-1 {
			if err := nc.PublishMsg(msg); err != nil {
				return err
			}
			continue
		}
		msg.Header.Set("Nats-Batch-Commit", "1")
		answer, err := nc.RequestMsgWithContext(ctx, msg)
		if err != nil {
			return err
		}
		if strings.Contains(string(answer.Data), `"error"`) {
			return fmt.Errorf("publish a batch: %s", answer.Data)
		}
	}
	return nil
}

// settled waits until the server has removed what was acknowledged.
func settled(ctx context.Context, js jetstream.JetStream, name string) error {
	for {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return err
		}
		if left := stream.CachedInfo().State.Msgs; left == queueMessages/queueKept {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// queued returns the data of a message, which begins with its sequence.
func queued(seq uint64) []byte {
	data := make([]byte, 1000)
	copy(data, fmt.Sprintf("%d", seq))
	return data
}

// MissingFromQueue counts the messages that should remain after WorkQueue but that the server does not return
// unchanged.
func MissingFromQueue(tb testing.TB, url, name string) (missing int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), queueTime)
	defer cancel()
	js, err := jetstream.New(connectNATS(tb, url))
	if err != nil {
		tb.Fatal(err)
	}
	stream, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return queueMessages / queueKept
	}
	if err != nil {
		tb.Fatalf("look up queue %s: %v", name, err)
	}
	for seq := uint64(queueKept); seq <= queueMessages; seq += queueKept {
		msg, err := stream.GetMsg(ctx, seq)
		switch {
		case ctx.Err() != nil:
			tb.Fatalf("read queue %s: %v", name, err)
		case err != nil || string(msg.Data) != string(queued(seq)):
			missing++
		}
	}
	return missing
}
