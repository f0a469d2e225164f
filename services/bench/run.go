package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

// Limits of waiting.
const (
	pollEvery = 20 * time.Millisecond
	askEvery  = 100 * time.Millisecond // of NATS, whose CPU is measured meanwhile
	// stuckAfter is how long no delivery may come before missing ones count as lost; the first retry is due in 5 s.
	stuckAfter = 20 * time.Second
	// quietLimit bounds the wait for everything to be recorded.
	quietLimit = 90 * time.Second
)

// warmUp is how many deliveries each hook gets before the measurement.
const warmUp = 200

// publishers is the number of concurrent publishers, and publishAtOnce the number of events that each publishes at once.
const (
	publishers     = 64
	publishAtOnce  = 16
	clientWarmUp   = 2000
	maxBareQuick   = 60_000 // requests of the plain client at full speed
	maxSlowBareFor = 4 * time.Second
)

// run measures one scenario once: the plain client, then the system.
func (b *bench) run(ctx context.Context, s Scenario, n int) (run Once, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit())
	defer cancel()
	if run.Bare, err = b.bare(ctx, s); err != nil {
		return run, err
	}
	y, err := b.startSystem(ctx, s)
	if err != nil {
		return run, err
	}
	defer func() { err = errors.Join(err, y.stop()) }()
	warm := s
	warm.Events, warm.Rate, warm.Hanging, warm.Later = warmUp, 0, false, ""
	if s.Rate > 0 {
		warm.Rate = max(s.Rate, 100)
	}
	if s.Limited > 0 {
		warm.Events = s.Limited
	}
	if err := b.warm(ctx, y, warm); err != nil {
		return run, err
	}
	profiled, err := b.profile(ctx, y, fmt.Sprintf("%s-%d", s.Name, n+1))
	if err != nil {
		return run, err
	}
	before, err := countersOf(ctx, y.health)
	if err != nil {
		return run, err
	}
	measure := b.measure
	switch {
	case s.Workers == 0:
		measure = b.accept
	case s.Share > 0:
		measure = b.soak
	}
	if run, err = measure(ctx, y, s, run); err != nil {
		return run, err
	}
	if err := profiled(); err != nil {
		return run, err
	}
	after, err := countersOf(ctx, y.health)
	if err != nil {
		return run, err
	}
	run.Counters, run.Start = after.since(before), y.startTook.Seconds()
	if s.Registered > 0 {
		if run.Changes, err = b.measureChanges(ctx, y); err != nil {
			return run, err
		}
	}
	run.judge(s, y)
	return run, nil
}

func (b *bench) warm(ctx context.Context, y *system, s Scenario) error {
	if s.Creates {
		return nil // they would have been created already
	}
	if s.Workers == 0 {
		_, err := b.send(ctx, y, s)
		return err
	}
	_, err := b.load(ctx, y, s, "warm")
	return err
}

// processes returns all processes of a system, including the publisher and the receiver.
func (b *bench) processes(y *system) map[string][]process {
	processes := map[string][]process{
		processPostgres: {postmaster(y.postgres.Dir())}, processNATS: {y.nats.process()},
		processPublisher: {{pid: os.Getpid()}, b.client.process()}, processReceiver: {b.receiver.process()},
	}
	for _, w := range y.workers {
		processes[processWorker] = append(processes[processWorker], w.process())
	}
	if y.api != nil {
		processes[processAPI] = []process{y.api.process()}
	}
	return processes
}

// measure puts the load on the system with the meter running.
func (b *bench) measure(ctx context.Context, y *system, s Scenario, run Once) (Once, error) {
	if s.Later == Down {
		if err := b.park(ctx, y, s); err != nil {
			return run, err
		}
	}
	return b.metered(y, s, run, func() (loaded, error) { return b.load(ctx, y, s, "run") })
}

// metered runs load with the meter running.
func (b *bench) metered(y *system, s Scenario, run Once, load func() (loaded, error)) (Once, error) {
	m := startMeter(b.processes(y))
	l, err := load()
	u := m.stop()
	if err != nil {
		return run, err
	}
	run.System = l.figures(u, processAPI, processWorker, processPostgres, processNATS)
	run.Missing, run.Duplicates = s.deliveries()-len(l.got.Latencies), l.got.Duplicates
	run.Disorder = l.got.Disorder
	run.Unreadable, run.Unsigned, run.Unrecorded = int(l.got.Unreadable), int(l.got.Unsigned), !l.quiet
	return run, nil
}

// loaded is the result of a load.
type loaded struct {
	begin    time.Time
	got      got
	recorded time.Time // when everything was in the ledger
	quiet    bool      // whether that was in time
}

func (l *loaded) figures(u used, counted ...string) Figures {
	f := newFigures(l.got, l.begin, u, counted...)
	if f.Deliveries > 0 { // otherwise there was no last arrival
		f.RecordedAfter = max(0, l.recorded.Sub(time.Unix(0, l.got.Last)).Seconds())
	}
	return f
}

// load publishes a scenario's events and waits until all deliveries have come and are recorded.
func (b *bench) load(ctx context.Context, y *system, s Scenario, run string) (l loaded, err error) {
	release := func() error { return b.receiver.do(ctx, verbRelease, nil, nil) }
	if s.Later == Down { // everything is published and parked; now the receiver accepts requests again
		if err := release(); err != nil {
			return l, err
		}
	} else {
		e := expectation{
			Hooks: s.Hooks, Events: s.Events, Delay: s.Delay, Close: s.Close, Hanging: s.hanging(), Later: s.Later, Wait: s.wait(), Spread: s.spread(),
		}
		if err := b.receiver.do(ctx, verbExpect, e, nil); err != nil {
			return l, err
		}
		l.begin = time.Now()
		if err := b.publish(ctx, y, s, run); err != nil {
			return l, err
		}
	}
	if err := b.await(ctx, int64(s.deliveries()), s.patience()); err != nil {
		return l, err
	}
	if err := release(); err != nil {
		return l, err
	}
	if l.quiet, err = y.awaitQuiet(ctx); err != nil {
		return l, err
	}
	l.recorded = time.Now()
	err = b.receiver.do(ctx, verbGot, nil, &l.got)
	if s.Later == Down { // it takes a moment until it is tried again
		l.begin = l.got.began()
	}
	return l, err
}

// publish returns when JetStream has stored all the events.
func (b *bench) publish(ctx context.Context, y *system, s Scenario, run string) error {
	if s.overHTTP() {
		_, err := b.send(ctx, y, s)
		return err
	}
	nats := y.bus
	var failed failure
	event := func(seq int) bus.Outgoing { return b.event(run, seq) }
	size := publishAtOnce
	if s.Rate > 0 && s.Share == 0 {
		size = 1
	}
	batches := (s.Events + size - 1) / size
	batch := func(n int) {
		var events []bus.Outgoing
		for seq := n * size; seq < min(s.Events, (n+1)*size); seq++ {
			events = append(events, event(seq))
		}
		failed.set(nats.PublishEvents(ctx, events))
	}
	if s.Rate > 0 {
		paced(ctx, batches, s.Rate/float64(size), batch)
	} else {
		together(ctx, batches, publishers, batch)
	}
	return failed.get(ctx)
}

// await returns when n deliveries have come, or no more come.
func (b *bench) await(ctx context.Context, n int64, patience time.Duration) error {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	seen, moved := int64(0), time.Now()
	for {
		var p progress
		if err := b.receiver.do(ctx, verbProgress, nil, &p); err != nil {
			return err
		}
		if p.Received > seen {
			seen, moved = p.Received, time.Now()
		}
		if p.Received >= n || time.Since(moved) > patience {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// awaitQuiet returns true when every event is settled and everything is recorded.
func (y *system) awaitQuiet(ctx context.Context) (bool, error) {
	poll := time.NewTicker(askEvery)
	defer poll.Stop()
	limit := time.Now().Add(quietLimit)
	for time.Now().Before(limit) {
		quiet := true
		for _, c := range []bus.Consumer{bus.Fanout, bus.FactRecorder, bus.EventRecorder} { // the fan-out first, because it produces facts
			lag, err := y.bus.Lag(ctx, c)
			if err != nil {
				return false, err
			}
			if lag.Pending+lag.InFlight > 0 {
				quiet = false
				break
			}
		}
		if quiet {
			return true, nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return false, nil
}

// bare measures the plain client with the receiver's part of the scenario.
func (b *bench) bare(ctx context.Context, s Scenario) (Figures, error) {
	s.Hanging = false
	if s.Later == Asked {
		s.Rate, s.Events = retryRate, min(s.Events, 10*retryRate)
	}
	warm := s
	warm.Events, warm.Rate, warm.Goroutines, warm.Delay = max(1, clientWarmUp/s.Hooks), 0, 64, 0
	if _, _, err := b.post(ctx, warm); err != nil {
		return Figures{}, err
	}
	switch {
	case s.Rate > 0:
	case s.Delay > 0:
		s.Events = int(maxSlowBareFor/s.Delay) * s.Goroutines / s.Hooks
	default:
		s.Events = min(2*s.Events, maxBareQuick/s.Hooks)
	}
	m := startMeter(map[string][]process{
		processClient: {b.client.process()}, processReceiver: {b.receiver.process()}, processPublisher: {{pid: os.Getpid()}},
	})
	g, begin, err := b.post(ctx, s)
	u := m.stop()
	if err != nil {
		return Figures{}, err
	}
	return newFigures(g, begin, u, processClient), nil
}

func (b *bench) post(ctx context.Context, s Scenario) (g got, begin time.Time, err error) {
	e := expectation{Hooks: s.Hooks, Events: s.Events, Delay: s.Delay, Close: s.Close, Hanging: -1}
	if err := b.receiver.do(ctx, verbExpect, e, nil); err != nil {
		return g, begin, err
	}
	begin = time.Now()
	err = b.client.do(ctx, verbPost, errand{
		URL: b.target(s), Hooks: s.Hooks, Events: s.Events, Rate: s.Rate, Goroutines: s.Goroutines,
		Body: b.payload.delivered.text, Mark: b.payload.delivered.mark,
	}, nil)
	if err != nil {
		return g, begin, err
	}
	return g, begin, b.receiver.do(ctx, verbGot, nil, &g)
}

// profile makes the workers and nats-server write profiles until the returned function is called.
func (b *bench) profile(ctx context.Context, y *system, name string) (stop func() error, err error) {
	if b.ProfileDir == "" {
		return func() error { return nil }, nil
	}
	dir, err := filepath.Abs(b.ProfileDir)
	if err != nil {
		return nil, fmt.Errorf("find folder for profiles: %w", err)
	}
	for n, p := range y.parts() {
		base := filepath.Join(dir, fmt.Sprintf("%s-%s-%d", name, p.name, n+1))
		if err := p.do(ctx, verbProfile, base, nil); err != nil {
			return nil, err
		}
	}
	return func() error {
		for _, p := range y.parts() {
			if err := p.do(ctx, verbStopProfiles, nil, nil); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
