package store

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"
)

// These are the channels that the triggers notify.
const (
	hooksChannel   = "whisperer_hooks"
	tenantsChannel = "whisperer_tenants"
	backlogChannel = "whisperer_backlogs" // payload: one hook
	parkedChannel  = "whisperer_parked"   // payload: hooks, separated by spaces
	typesChannel   = "whisperer_event_types"
	keysChannel    = "whisperer_signing_keys"
)

const (
	listenRetry = time.Second
	// listenPing is the interval at which a silent connection is tested, and listenAnswer the time limit for the answer: a
	// proxy may have stopped forwarding.
	listenPing   = 10 * time.Second
	listenAnswer = 5 * time.Second
)

// listen triggers a poll whenever there is a notification, until ctx ends. If it fails, changes are only noticed later.
func (w *Watch) listen(ctx context.Context) {
	for ctx.Err() == nil {
		w.listenOnce(ctx)
		w.rest(ctx, listenRetry, nil)
	}
}

// listenOnce listens until its connection is lost or does not answer.
func (w *Watch) listenOnce(ctx context.Context) {
	lost := make(chan struct{}, 1)
	listener := pq.NewListener(w.db.url, listenRetry, 10*listenRetry, func(e pq.ListenerEventType, _ error) {
		if e != pq.ListenerEventConnected {
			signal(lost)
		}
	})
	closed := context.AfterFunc(ctx, func() { _ = listener.Close() }) // Listen waits for the database and does not know ctx
	defer func() {
		if closed() {
			_ = listener.Close()
		}
	}()
	channels := []string{typesChannel, keysChannel}
	if w.Hooks != nil {
		channels = append(channels, hooksChannel, tenantsChannel, backlogChannel, parkedChannel)
	}
	for _, channel := range channels {
		if err := listener.Listen(channel); err != nil {
			return
		}
	}
	ping := time.NewTicker(listenPing)
	defer ping.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-lost:
			return
		case n := <-listener.Notify:
			w.heard(n)
		case <-ping.C:
			if !answers(listener) {
				return
			}
		}
	}
}

// heard handles a notification. nil means that notifications may have been missed.
func (w *Watch) heard(n *pq.Notification) {
	if n != nil && (n.Channel == backlogChannel || n.Channel == parkedChannel) {
		for text := range strings.FieldsSeq(n.Extra) {
			if id, err := uuid.Parse(text); err == nil {
				w.Hooks.PutBacklog(id)
			}
		}
		return
	}
	w.wakeUp()
}

func answers(listener *pq.Listener) bool {
	answer := make(chan error, 1)
	go func() { answer <- listener.Ping() }() // it ends with the connection
	select {
	case err := <-answer:
		return err == nil
	case <-time.After(listenAnswer):
		return false
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
