// Package load measures an installation from outside. It creates its own hooks, publishes events that only reach
// these, receives the webhooks, and counts those that came, came twice, or did not come.
package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// eventType is the type of the published events. It is not declared, so the hooks want it by a pattern.
const (
	eventType = "whisperer_bench.ping"
	pattern   = "whisperer_bench.>"
	// configKey is in the hooks' config and the events' config_filter, so that the events reach no other hooks.
	configKey = "whisperer_bench"
)

// maxBatch is how many events are published with one call.
const maxBatch = 100

// Publisher stores events and returns when all are stored. It must be harmless to publish the same events again.
type Publisher func(ctx context.Context, events []client.Event) error

// Options configure a measurement.
type Options struct {
	API     *client.Client
	Publish Publisher
	// Listener accepts the webhooks, and URL is its address as seen by the installation.
	Listener net.Listener
	URL      string
	// Each of the Hooks gets every event. Rate is in events per second, for Duration.
	Hooks    int
	Rate     float64
	Duration time.Duration
	// Size is the approximate size of an event's data in bytes.
	Size int
	// Settle is how long no webhook may come at the end before missing ones count as lost.
	Settle time.Duration
	// Progress is called with the number of received webhooks, and the number expected so far: stored events times
	// hooks.
	Progress func(received, expected int, note string)
	// Note is called with other messages for people.
	Note func(text string)
}

// Report has the results.
type Report struct {
	Hooks    int     `json:"hooks"`
	Rate     float64 `json:"rate"`
	Seconds  float64 `json:"seconds"`
	Accepted int     `json:"accepted"`
	// Refused counts failed calls; their events were published again.
	Refused  int `json:"refused"`
	Expected int `json:"expected"`
	Received int `json:"received"`
	// Lost is Expected minus Received. Repeated counts webhooks that had come before.
	Lost     int `json:"lost"`
	Repeated int `json:"repeated"`
	// Unverified counts webhooks with a wrong signature.
	Unverified int `json:"unverified"`
	// PerSecond is the rate of webhooks between the first and the last.
	PerSecond float64 `json:"per_second"`
	Latency   Latency `json:"latency"`
}

// Latency is the time from just before an event is published until its webhook arrives, by this machine's clock, in
// milliseconds.
type Latency struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// ErrUnreachable says that the installation does not reach the receiver.
var ErrUnreachable = errors.New("no webhook came: the installation does not reach the receiver")

// reachTimeout bounds the wait for the first webhook of every hook.
const reachTimeout = 30 * time.Second

// Run measures. It deletes its hooks at the end, even after an interruption.
func Run(ctx context.Context, o Options) (r *Report, err error) {
	run := uuid.NewString()
	secret := signature.GenerateSecret()
	key, err := signature.ParseVerifyKey(secret)
	if err != nil {
		return nil, err
	}
	c := newCounter(o.Hooks, key)
	server := &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(o.Listener) }() // until it is closed
	defer server.Close()
	hooks, err := o.makeHooks(ctx, run, secret)
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		for _, id := range hooks {
			if deleteErr := o.API.Hooks.Delete(cleanup, id); deleteErr != nil {
				err = errors.Join(err, fmt.Errorf("delete hook %s: %w", id, deleteErr))
			}
		}
	}()
	if err != nil {
		return nil, err
	}
	s := &source{options: o, run: run, counter: c}
	if err := s.reach(ctx); err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := s.publish(ctx); err != nil && ctx.Err() == nil {
		return nil, err
	}
	seconds := time.Since(begin).Seconds()
	s.settle(ctx)
	r = c.report(s.accepted, o.Hooks)
	r.Rate, r.Refused, r.Seconds = o.Rate, s.refused, seconds
	return r, nil
}

func (o *Options) makeHooks(ctx context.Context, run, secret string) ([]uuid.UUID, error) {
	config, err := json.Marshal(map[string]string{configKey: run})
	if err != nil {
		return nil, err
	}
	var made []uuid.UUID
	for i := range o.Hooks {
		h, err := o.API.Hooks.Create(ctx, client.HookFields{
			Name: client.Set(fmt.Sprintf("whisperer bench %d", i)), EventTypes: client.Set([]string{pattern}),
			TargetURL: client.Set(fmt.Sprintf("%s/%s/%d", strings.TrimSuffix(o.URL, "/"), run, i)), SecretKey: client.Set(secret),
			Config: client.Set(json.RawMessage(config)),
		})
		if err != nil {
			return made, fmt.Errorf("make hook: %w", err)
		}
		made = append(made, h.ID)
	}
	return made, nil
}

// mark is an event's data.
type mark struct {
	Seq int   `json:"seq"`
	At  int64 `json:"at"`
	// Probe events only show that the receiver is reached.
	Probe bool   `json:"probe,omitempty"`
	Pad   string `json:"pad,omitempty"`
}

// source publishes events.
type source struct {
	options  Options
	run      string
	counter  *counter
	accepted int
	refused  int
}

func (s *source) event(m mark) (client.Event, error) {
	m.At = time.Now().UnixNano()
	m.Pad = strings.Repeat("x", max(s.options.Size-60, 0))
	data, err := json.Marshal(m)
	if err != nil {
		return client.Event{}, err
	}
	filter, err := json.Marshal(map[string]string{configKey: s.run})
	return client.Event{ID: uuid.NewString(), Type: eventType, Data: data, ConfigFilter: filter}, err
}

// reach publishes probes until each hook has received one, because workers may not know the hooks yet.
func (s *source) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, reachTimeout, ErrUnreachable)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		e, err := s.event(mark{Probe: true})
		if err == nil {
			err = s.options.Publish(ctx, []client.Event{e})
		}
		if err != nil {
			return fmt.Errorf("publish probe: %w", err)
		}
		select {
		case <-s.counter.reached:
			return nil
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// publish keeps the rate, and catches up after a slow or failed call.
func (s *source) publish(ctx context.Context) error {
	begin := time.Now()
	total := int(s.options.Rate * s.options.Duration.Seconds())
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.accepted < total {
		due := min(int(time.Since(begin).Seconds()*s.options.Rate)+1, total)
		for s.accepted < due {
			n := min(due-s.accepted, maxBatch)
			events := make([]client.Event, n)
			for i := range events {
				var err error
				if events[i], err = s.event(mark{Seq: s.accepted + i}); err != nil {
					return err
				}
			}
			if err := s.publishUntilAccepted(ctx, events); err != nil {
				return err
			}
			s.accepted += n
		}
		s.options.Progress(s.counter.received(), s.accepted*s.options.Hooks, "")
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// publishUntilAccepted repeats a publication until it is accepted; the events' ids make that harmless.
func (s *source) publishUntilAccepted(ctx context.Context, events []client.Event) error {
	for {
		err := s.options.Publish(ctx, events)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, client.ErrRefused), errors.Is(err, webhook.ErrInvalid):
			return fmt.Errorf("publish: %w", err)
		}
		if s.refused++; s.refused == 1 {
			s.options.Note(fmt.Sprintf("publishing failed, trying on: %s", err))
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// settle waits until no webhook has come for a while.
func (s *source) settle(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last, since := s.counter.received(), time.Now()
	for {
		now, expected := s.counter.received(), s.accepted*s.options.Hooks
		s.options.Progress(now, expected, "")
		if now != last {
			last, since = now, time.Now()
		}
		if now >= expected || time.Since(since) > s.options.Settle {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
