// Package usecasetest makes the use cases as tests of the API and the console need them.
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

// shares are of looking things up: more than a test takes.
const shares = 100

// New makes the use cases on a database. What was set aside is on the bus, hooks may lead to the usual ports of public addresses, and
// nothing is sent.
func New(db *store.DB, bus func() (*bus.Bus, error)) *usecase.Service {
	lookUps := func() *daemon.Shares { return daemon.NewShares(shares, time.Second, shares, shares) }
	return usecase.New(usecase.Deps{
		Stores: usecase.NewStores(db, db), LookUps: lookUps(), Searches: lookUps(), Aside: aside.NewDesk(bus, db, zap.NewNop()),
		URLs: egress.Policy{Ports: []uint16{80, 443}}, Sender: Sender(egress.Policy{Ports: []uint16{1}}),
	})
}

// Sender sends to where the policy allows.
func Sender(policy egress.Policy) *attempt.Sender {
	return attempt.New(attempt.Options{Client: egress.NewClient(egress.Options{Policy: policy}), Version: "test"})
}
