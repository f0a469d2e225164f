// Package payload finds the events of deliveries that do not carry theirs: in the event log, or in the ledger.
package payload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

// stream is implemented by *bus.Bus.
type stream interface {
	Event(ctx context.Context, at webhook.Sequence) (bus.Stored, error)
}

// ledger is implemented by *store.HistoryStore.
type ledger interface {
	Event(ctx context.Context, tenant, id string, publishedAt time.Time) (webhook.Event, error)
}

// Reader reads events again.
type Reader struct {
	stream stream
	ledger ledger
	// SourcesSince is envelope.Published's.
	SourcesSince time.Time
}

// NewReader makes a reader.
func NewReader(s stream, l ledger) *Reader { return &Reader{stream: s, ledger: l} }

// Event reads an event of which the tenant, id, sequence and time of publication are known. webhook.ErrNotFound comes
// where neither the event log nor the ledger keeps it any more; with any other error it may be found later.
func (r *Reader) Event(ctx context.Context, of *webhook.Event) (webhook.Event, error) {
	e, err := r.logged(ctx, of)
	if err == nil {
		return e, nil
	}
	e, ledgerErr := r.ledger.Event(ctx, of.Tenant, of.ID, of.PublishedAt)
	if ledgerErr == nil {
		return e, nil
	}
	if !errors.Is(ledgerErr, webhook.ErrNotFound) {
		err = ledgerErr
	}
	return e, fmt.Errorf("find event %s: %w", of.ID, err)
}

// logged reads the event from the log. A log that was lost and made anew counts from 1 again: then the sequence is another
// event's, maybe another tenant's.
func (r *Reader) logged(ctx context.Context, of *webhook.Event) (webhook.Event, error) {
	stored, err := r.stream.Event(ctx, of.Seq)
	if err != nil {
		return webhook.Event{}, err
	}
	e, err := envelope.Decode(envelope.Published{
		Tenant: stored.Tenant, Type: stored.Type, Headers: stored.Headers, Body: stored.Data, Seq: stored.Seq, PublishedAt: stored.PublishedAt,
		Ours:         stored.Ours,
		SourcesSince: r.SourcesSince,
	})
	if err != nil || e.Tenant != of.Tenant || e.ID != of.ID || !e.PublishedAt.Equal(of.PublishedAt) {
		return webhook.Event{}, fmt.Errorf("event %d is another one: %w", of.Seq, webhook.ErrNotFound)
	}
	return e, nil
}
