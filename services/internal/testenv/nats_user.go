package testenv

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/whisperer-oms/whisperer/services/internal/natsd"
)

// answerTime is how long to wait for something that should never come.
const answerTime = 400 * time.Millisecond

// NATSWith starts a nats-server for the test with the given part of a configuration, and returns its URL.
func NATSWith(tb testing.TB, config string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "nats.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	s, err := natsd.Start(tb.Context(), natsd.Options{StoreDir: tb.TempDir(), Port: natsd.RandomPort, ConfigFile: path})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			tb.Error(err)
		}
	})
	return s.ClientURL()
}

// NATSUser is a NATS user whose permissions a test probes.
type NATSUser struct {
	tb testing.TB
	nc *nats.Conn
}

// NATSAs connects as a user.
func NATSAs(tb testing.TB, url, user, password string, options ...nats.Option) *NATSUser {
	tb.Helper()
	nc, err := nats.Connect(url, append(options, nats.UserInfo(user, password), nats.PermissionErrOnSubscribe(true),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
	if err != nil {
		tb.Fatalf("connect to nats as %s: %v", user, err)
	}
	tb.Cleanup(nc.Close)
	return &NATSUser{tb: tb, nc: nc}
}

// Ask publishes a message and waits for the answer.
func (u *NATSUser) Ask(subject string, header map[string]string, data string) []byte {
	u.tb.Helper()
	answer, err := u.ask(jsTimeout, subject, header, data)
	if err != nil {
		u.tb.Fatalf("ask %s: %v", subject, err)
	}
	return answer
}

// IsAnswered publishes a message and reports whether an answer comes. None comes if the user may not publish it.
func (u *NATSUser) IsAnswered(subject, data string) bool {
	u.tb.Helper()
	_, err := u.ask(answerTime, subject, nil, data)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrNoResponders) {
		u.tb.Fatalf("ask %s: %v", subject, err)
	}
	return err == nil
}

func (u *NATSUser) ask(limit time.Duration, subject string, header map[string]string, data string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(u.tb.Context(), limit)
	defer cancel()
	answer, err := u.nc.RequestMsgWithContext(ctx, u.message(subject, header, data))
	if err != nil {
		return nil, err
	}
	return answer.Data, nil
}

// Send publishes a message with a reply subject, which may be empty, and returns when the server has received it.
func (u *NATSUser) Send(subject, reply, data string) {
	u.tb.Helper()
	msg := u.message(subject, nil, data)
	msg.Reply = reply
	if err := u.nc.PublishMsg(msg); err != nil {
		u.tb.Fatalf("publish to %s: %v", subject, err)
	}
	if err := u.nc.FlushTimeout(jsTimeout); err != nil {
		u.tb.Fatalf("publish to %s: %v", subject, err)
	}
}

// MayListen reports whether the server lets the user subscribe to a subject.
func (u *NATSUser) MayListen(subject string) bool {
	u.tb.Helper()
	sub, err := u.nc.SubscribeSync(subject)
	if err != nil {
		u.tb.Fatalf("listen to %s: %v", subject, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := u.nc.FlushTimeout(jsTimeout); err != nil {
		u.tb.Fatalf("listen to %s: %v", subject, err)
	}
	_, err = sub.NextMsg(answerTime)
	return !errors.Is(err, nats.ErrPermissionViolation)
}

func (u *NATSUser) message(subject string, header map[string]string, data string) *nats.Msg {
	msg := nats.NewMsg(subject)
	msg.Data = []byte(data)
	for name, value := range header {
		msg.Header.Set(name, value)
	}
	return msg
}

// Inbox sets the prefix of the subjects on which a user of NATSAs receives answers.
func Inbox(prefix string) nats.Option { return nats.CustomInboxPrefix(prefix) }
