package deliveryworker

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/erase"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

// metrics holds the worker's metrics, and is the observer of its parts.
type metrics struct {
	attempts       *prometheus.CounterVec
	duration       prometheus.Histogram
	lag            prometheus.Histogram
	parked         *prometheus.CounterVec
	superseded     prometheus.Counter
	batches        prometheus.Counter
	events         prometheus.Counter
	deliveries     prometheus.Counter
	repeated       prometheus.Counter
	unasked        prometheus.Counter
	rejected       *prometheus.CounterVec
	recorded       *prometheus.CounterVec
	recordSeconds  *prometheus.HistogramVec
	setAside       *prometheus.CounterVec
	asideNow       prometheus.Gauge
	offSchema      prometheus.Counter
	waitingNow     prometheus.Gauge
	parkedNow      prometheus.Gauge
	clockAhead     prometheus.Gauge
	logUsed        prometheus.Gauge
	logLimit       prometheus.Gauge
	ownUsed        prometheus.Gauge
	ownLimit       prometheus.Gauge
	ownDeferred    prometheus.Counter
	swept          prometheus.Counter
	trimmed        prometheus.Counter
	erasuresNow    prometheus.Gauge
	erasures       *erase.Metrics
	pending        *prometheus.GaugeVec
	inFlight       *prometheus.GaugeVec
	repairs        *prometheus.CounterVec
	filterCost     prometheus.Counter
	filterPutOff   prometheus.Counter
	filterFailures *prometheus.CounterVec

	transformFailures *prometheus.CounterVec

	failingNow prometheus.Gauge
	hooks      *namedHooks
	tenants    *named
	// label is the hook label by whose value labels counts attempts; it is empty, and labels nil, if there is none.
	label  string
	labels *named
}

// newMetrics registers the metrics. At most most tenants, and as many values of the label, have series of their own.
func newMetrics(r *prometheus.Registry, most int, label string) *metrics {
	prefixed := prometheus.WrapRegistererWithPrefix("whisperer_", r)
	f := promauto.With(prefixed)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	gauges := func(name, help, label string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{label})
	}
	histogram := func(name, help string, shortest float64, buckets int) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(shortest, 2, buckets)}
	}
	m := &metrics{
		waitingNow:        gauge("deliveries_waiting", "Deliveries waiting for their next attempt."),
		parkedNow:         gauge("deliveries_parked", "Deliveries parked until their hook can take them, counted up to 100,000."),
		clockAhead:        gauge("clock_ahead_seconds", "How far this machine's clock is ahead of the database's."),
		logUsed:           gauge("event_log_bytes", "Size of the event log."),
		logLimit:          gauge("event_log_limit_bytes", "Size at which the event log refuses publishers."),
		ownUsed:           gauge("own_events_bytes", "Size of the stream of callbacks and operational events."),
		ownLimit:          gauge("own_events_limit_bytes", "Size at which the stream of callbacks and operational events is full."),
		attempts:          counters("attempts_total", "Attempts, by the resulting state of the delivery and error class.", "outcome", "class"),
		duration:          f.NewHistogram(histogram("attempt_duration_seconds", "Duration of attempts.", 0.001, 15)),
		lag:               f.NewHistogram(histogram("delivery_lag_seconds", "Time from the publication of an event to its first attempt.", 0.0005, 20)),
		parked:            counters("deliveries_parked_total", "Deliveries parked, by reason.", "reason"),
		events:            counter("events_total", "Events fanned out."),
		deliveries:        counter("deliveries_total", "Deliveries created by fan-out."),
		repeated:          counter("events_repeated_total", "Events published again with the same id and body."),
		unasked:           counter("events_unasked_total", "Events fanned out without a check for duplicates because the ledger was unavailable; should stay 0."),
		rejected:          counters("events_rejected_total", "Events rejected, by reason.", "reason"),
		recorded:          counters("recorder_messages_total", "Messages written to PostgreSQL.", "what"),
		recordSeconds:     f.NewHistogramVec(histogram("recorder_write_seconds", "Time to write a batch to PostgreSQL.", 0.001, 14), []string{"what"}),
		setAside:          counters("recorder_set_aside_total", "Messages set aside whole because PostgreSQL refused them while it took others; should stay 0.", "what"),
		asideNow:          gauge("ledger_set_aside", "Messages set aside and not yet put back; should be 0."),
		offSchema:         counter("events_off_schema_total", "Events let through although their data does not match the schema of their type."),
		batches:           counter("batches_total", "Requests with batches; attempts are counted for each delivery in them."),
		superseded:        counter("deliveries_superseded_total", "Deliveries not sent because their hook collapses and a newer one of their entity was sent."),
		swept:             counter("deliveries_swept_total", "Lost deliveries found and repaired; should stay 0."),
		ownDeferred:       counter("own_events_deferred_total", "Callbacks and operational events postponed because their stream was full, counted each time; should stay 0."),
		trimmed:           counter("events_trimmed_total", "Old events dropped from the event log and from the stream of callbacks and operational events."),
		erasuresNow:       gauge("erasures_running", "Requested erasures that are not finished."),
		erasures:          erase.NewMetrics(r),
		pending:           gauges("consumer_pending", "Messages that a consumer has not handed out yet.", "consumer"),
		repairs:           counters("topology_repairs_total", "Streams and consumers that someone else deleted or changed, and a worker repaired; should stay 0.", "name"),
		filterCost:        counter("filter_cost_units_total", "Cost units used by the evaluation of filters and transforms; one core does some 20 million a second."),
		filterPutOff:      counter("filter_events_put_off_total", "Events postponed because the filters of their tenant have used up their budget."),
		filterFailures:    counters("filter_failures_total", "Events that a hook did not get because its filter could not be evaluated, by reason: error or cost.", "reason"),
		transformFailures: counters("transform_failures_total", "Deliveries that are dead because a hook's transform could not be evaluated, by reason: error or cost.", "reason"),
		inFlight:          gauges("consumer_in_flight", "Messages handed out and not settled.", "consumer"),
		failingNow:        gauge("hooks_failing", "Active hooks whose attempts have failed since their last success."),
		hooks:             newNamedHooks(prefixed),
	}
	m.nameSeries(counters, most, label)
	m.zero()
	return m
}

// zero creates the series of counters that alerts use: for a missing series there is no rate, and a counter that appears with
// value 1 shows no increase.
func (m *metrics) zero() {
	for _, what := range []string{bus.AsideFacts, bus.AsideEvents} {
		m.setAside.WithLabelValues(what)
		m.recorded.WithLabelValues(what)
	}
	for _, reason := range []string{"error", "cost"} {
		m.filterFailures.WithLabelValues(reason)
		m.transformFailures.WithLabelValues(reason)
	}
	for _, name := range bus.Topology() {
		m.repairs.WithLabelValues(name)
	}
}

// watch registers the gauges that are read at each scrape.
func (m *metrics) watch(r *prometheus.Registry, s *Service) {
	f := promauto.With(prometheus.WrapRegistererWithPrefix("whisperer_", r))
	gauge := func(name, help string, read func() float64) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read)
	}
	gauge("hooks", "Hooks in this worker's index.", func() float64 { return float64(s.index.Len()) })
	gauge("attempts_running", "Attempts in progress.", func() float64 { n, _ := s.limiter.Load(); return float64(n) })
	gauge("attempts_waiting", "Attempts that wait for a slot of their hook.", func() float64 { _, n := s.limiter.Load(); return float64(n) })
	gauge("breakers_open", "Hooks whose circuit breaker is open in this worker.", func() float64 { n, _ := s.limiter.Breakers(); return float64(n) })
	gauge("breakers_half_open", "Hooks whose receiver is being probed.", func() float64 { _, n := s.limiter.Breakers(); return float64(n) })
	gauge("filter_tenants_waiting", "Tenants whose events wait because their filters have used up their budget in this worker.",
		func() float64 { return float64(s.evaluator.Waiting()) })
	gauge("hook_index_age_seconds", "Age of this worker's hook index; normally below 2.", func() float64 { return s.known.Age().Seconds() })
	gauge("hooks_unreadable", "Hooks that this worker cannot decrypt or read; their deliveries are parked; should stay 0.",
		func() float64 { return float64(s.known.Unreadable()) })
}

// behind sets the lag of a consumer.
func (m *metrics) behind(c bus.Consumer, lag bus.Lag) {
	m.pending.WithLabelValues(string(c)).Set(float64(lag.Pending))
	m.inFlight.WithLabelValues(string(c)).Set(float64(lag.InFlight))
}

// stored sets the sizes of the streams, and the numbers of waiting deliveries and of messages set aside.
func (m *metrics) stored(ctx context.Context, b *bus.Bus) {
	for stream, gauges := range map[webhook.Stream][2]prometheus.Gauge{webhook.OMS: {m.logUsed, m.logLimit}, webhook.Own: {m.ownUsed, m.ownLimit}} {
		if used, limit, err := b.Streams().EventLogSize(ctx, stream); err == nil {
			gauges[0].Set(float64(used))
			gauges[1].Set(float64(limit))
		}
	}
	if n, err := b.Aside().Count(ctx); err == nil {
		m.asideNow.Set(float64(n))
	}
	if n, err := b.Retries().Waiting(ctx); err == nil {
		m.waitingNow.Set(float64(n))
	}
}

// countParkedEvery and mostParked bound the database load of counting parked deliveries.
const (
	countParkedEvery = 15 * time.Second
	mostParked       = 100_000
)

// clockTolerance is how far this machine's clock may differ from the database's before that is logged. It is generous, because
// a busy database may answer seconds late.
const clockTolerance = 5 * time.Second

// countParked counts parked deliveries and running erasures, and compares the clock with the database's.
func (m *metrics) countParked(ctx context.Context, db *store.DB, log *zap.Logger) {
	asked := time.Now()
	parked, err := db.Queue.Count(ctx, mostParked)
	if err != nil {
		return
	}
	m.parkedNow.Set(float64(parked.N))
	if n, err := db.Erasures.CountRunning(ctx); err == nil {
		m.erasuresNow.Set(float64(n))
	}
	ahead := ahead(asked, time.Now(), parked.At)
	m.clockAhead.Set(ahead.Seconds())
	if ahead.Abs() > clockTolerance {
		log.Warn("clock differs from PostgreSQL's", zap.Duration("ahead", ahead))
	}
}

// ahead returns how far our clock is ahead of another that was read between asked and answered. It returns 0 if both may agree.
func ahead(asked, answered, other time.Time) time.Duration {
	switch asked, answered := asked.Round(0), answered.Round(0); { // compare wall clocks: ours may have been set meanwhile
	case other.Before(asked):
		return asked.Sub(other)
	case other.After(answered):
		return answered.Sub(other)
	}
	return 0
}

// Attempted counts an attempt. lag is the time from the event's publication to the start of its first attempt, 0 for later
// ones.
func (m *metrics) Attempted(due *webhook.Due, result webhook.Result, state webhook.DeliveryState, took, lag time.Duration) {
	m.attempts.WithLabelValues(string(state), string(result.Class)).Inc()
	trace.Observe(m.duration, took.Seconds(), due.Event.Traceparent)
	if lag > 0 {
		trace.Observe(m.lag, lag.Seconds(), due.Event.Traceparent)
	}
	outcome := attemptFailed
	if result.Success() {
		outcome = attemptDelivered
	}
	m.tenants.add(due.Event.Tenant, outcome)
	if value := due.Hook.Labels[m.label]; value != "" && m.labels != nil {
		m.labels.add(value, outcome)
	}
}

// rank chooses anew which tenants and label values have series of their own.
func (m *metrics) rank() {
	m.tenants.rank()
	if m.labels != nil {
		m.labels.rank()
	}
}

// Batched counts a request with a batch.
func (m *metrics) Batched() { m.batches.Inc() }

// Superseded counts deliveries that a newer one has superseded.
func (m *metrics) Superseded(n int) { m.superseded.Add(float64(n)) }

// Parked counts a delivery that was parked.
func (m *metrics) Parked(reason webhook.Reason) { m.parked.WithLabelValues(string(reason)).Inc() }

// FannedOut counts an event and its deliveries.
func (m *metrics) FannedOut(tenant string, deliveries int) {
	m.events.Inc()
	m.deliveries.Add(float64(deliveries))
	m.tenants.add(tenant, eventFannedOut)
}

// EventRejected counts a rejected event. tenant is empty if the tenant does not exist.
func (m *metrics) EventRejected(tenant, reason string) {
	m.rejected.WithLabelValues(reason).Inc()
	if tenant != "" {
		m.tenants.add(tenant, eventRejected)
	}
}

// EventRepeated counts an event that was published before.
func (m *metrics) EventRepeated() { m.repeated.Inc() }

// Unasked counts events that were fanned out without a check for duplicates.
func (m *metrics) Unasked(events int) { m.unasked.Add(float64(events)) }

// Recorded counts messages written to PostgreSQL.
func (m *metrics) Recorded(what string, n int, took time.Duration) {
	m.recorded.WithLabelValues(what).Add(float64(n))
	m.recordSeconds.WithLabelValues(what).Observe(took.Seconds())
}

// SetAside counts a message that was set aside because PostgreSQL refused it or it could not be decoded.
func (m *metrics) SetAside(what string) { m.setAside.WithLabelValues(what).Inc() }

// OffSchema counts events whose data does not match the schema of their type.
func (m *metrics) OffSchema(events int) { m.offSchema.Add(float64(events)) }

// Swept counts lost deliveries that were found and repaired.
func (m *metrics) Swept(n int) { m.swept.Add(float64(n)) }

// Trimmed counts events dropped from the event log.
func (m *metrics) Trimmed(n uint64) { m.trimmed.Add(float64(n)) }
