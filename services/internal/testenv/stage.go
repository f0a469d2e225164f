package testenv

import (
	"testing"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

// Stage has a database with the schema and a nats-server with the topology, both for one test.
type Stage struct {
	DB  *Store
	Bus *bus.Bus
	// NATS is the server's URL.
	NATS string
}

// NewStage starts them.
func NewStage(tb testing.TB) Stage {
	tb.Helper()
	s := Stage{DB: OpenStore(tb), NATS: NATS(tb)}
	s.Bus = Connect(tb, s.NATS)
	if err := s.Bus.Streams().Ensure(tb.Context()); err != nil {
		tb.Fatalf("make the test's topology: %v", err)
	}
	return s
}
