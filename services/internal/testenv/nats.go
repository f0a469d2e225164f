package testenv

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/whisperer-oms/whisperer/services/internal/filelock"
	"github.com/whisperer-oms/whisperer/services/internal/natsd"
)

const (
	natsVariable = "WHISPERER_TEST_NATS_URL"
	// emptyTimeout bounds the deletion of what another test has left.
	emptyTimeout = 30 * time.Second
)

// NATS returns the URL of a nats-server with an empty JetStream that belongs to the test until it ends. Call it once
// for a test and its subtests: with a server given by URL, a second call waits until the first test has ended.
func NATS(tb testing.TB) string {
	tb.Helper()
	allowed, err := sources(natsVariable, fromLocal)
	if err != nil {
		tb.Fatalf("nats-server for the tests: %v", err)
	}
	open := map[source]func(testing.TB) (string, error){
		fromURL: natsFromURL, fromDocker: natsFromDocker, fromLocal: natsEmbedded,
	}
	var failures []error
	for _, from := range allowed {
		url, err := open[from](tb)
		if err == nil {
			return url
		}
		failures = append(failures, fmt.Errorf("%s: %w", from, err))
	}
	tb.Fatalf("no nats-server for the tests:\n%v", errors.Join(failures...))
	return ""
}

func natsEmbedded(tb testing.TB) (string, error) {
	tb.Helper()
	s, err := natsd.Start(tb.Context(), natsd.Options{StoreDir: tb.TempDir(), Port: natsd.RandomPort})
	if err != nil {
		return "", err
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			tb.Error(err)
		}
	})
	return s.ClientURL(), nil
}

// natsFromURL reserves a server for this test. Tests cannot share it, because the names of the streams are fixed.
func natsFromURL(tb testing.TB) (string, error) {
	tb.Helper()
	url, err := required(natsVariable)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("whisperer-test-nats-%d-%x.lock", os.Geteuid(), sha256.Sum256([]byte(url)))
	lock, err := filelock.Wait(tb.Context(), filepath.Join(os.TempDir(), name))
	if err != nil {
		return "", fmt.Errorf("wait for server: %w", err)
	}
	tb.Cleanup(lock.Release)
	if err := emptyJetStream(tb.Context(), url); err != nil {
		return "", fmt.Errorf("empty server: %w", err)
	}
	return url, nil
}

func emptyJetStream(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, emptyTimeout)
	defer cancel()
	conn, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	names := js.StreamNames(ctx)
	var found []string
	for name := range names.Name() {
		found = append(found, name)
	}
	if err := names.Err(); err != nil {
		return err
	}
	for _, name := range found {
		if err := js.DeleteStream(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// Listen subscribes to the subject. The function that it returns waits at most a minute for the next message.
func Listen(tb testing.TB, url, subject string) (next func() []byte) {
	tb.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		tb.Fatalf("connect to nats: %v", err)
	}
	tb.Cleanup(conn.Close)
	sub, err := conn.SubscribeSync(subject)
	if err == nil {
		err = conn.Flush()
	}
	if err != nil {
		tb.Fatalf("listen to %s: %v", subject, err)
	}
	return func() []byte {
		tb.Helper()
		msg, err := sub.NextMsg(time.Minute)
		if err != nil {
			tb.Fatalf("wait for a message on %s: %v", subject, err)
		}
		return msg.Data
	}
}
