// Package usecasetest provides the use cases for tests of the API and the console.
package usecasetest

import (
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/aside"
	"github.com/whisperer-oms/whisperer/services/internal/attempt"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// shares is more look-ups than a test makes.
const shares = 100

// New returns the use cases on a database. Set-aside entries are read from the bus. Hooks may target the usual ports
// of public addresses, but nothing is sent.
func New(db *store.DB, bus func() (*bus.Bus, error)) *usecase.Service {
	lookUps := func() *daemon.Shares { return daemon.NewShares(shares, time.Second, shares, shares) }
	return usecase.New(usecase.Deps{
		Stores: usecase.NewStores(db, db), LookUps: lookUps(), Searches: lookUps(), Aside: aside.NewDesk(bus, db, zap.NewNop()),
		URLs: egress.Policy{Ports: []uint16{80, 443}}, Sender: Sender(egress.Policy{Ports: []uint16{1}}),
	})
}

// Sender returns a sender with the given policy.
func Sender(policy egress.Policy) *attempt.Sender {
	return attempt.New(attempt.Options{Client: egress.NewClient(egress.Options{Policy: policy}), Version: "test"})
}
