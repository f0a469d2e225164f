package erase

import (
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics count erased events.
type Metrics struct {
	requested, expired, failures prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	f := promauto.With(r)
	events := f.NewCounterVec(prometheus.CounterOpts{Name: "whisperer_events_erased_total", Help: "Events whose payload was erased, by request or by retention."}, []string{"by"})
	return &Metrics{
		requested: events.WithLabelValues("request"), expired: events.WithLabelValues("retention"),
		failures: f.NewCounter(prometheus.CounterOpts{Name: "whisperer_erasure_failures_total", Help: "Failed steps of erasures; should stay 0."}),
	}
}

// erased counts events of an erasure, or of retention if erasure is nil.
func (m *Metrics) erased(erasure *uuid.UUID, events int) {
	if erasure == nil {
		m.expired.Add(float64(events))
	} else {
		m.requested.Add(float64(events))
	}
}
