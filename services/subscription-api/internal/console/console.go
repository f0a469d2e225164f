// Package console is what people manage hooks and look after deliveries with: pages that are made on the server, under
// /console/. A person signs in with an API token and may do what that token may do.
//
// Nothing is loaded from other hosts and no page holds a script or a style of its own, so the content security policy
// allows files of this package alone.
package console

import (
	"context"
	"fmt"
	"net/http"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// Root is where the console lies.
const Root = "/console/"

// busState tells how the bus is doing.
type busState interface {
	Lag(ctx context.Context, c bus.Consumer) (bus.Lag, error)
	Streams(ctx context.Context) ([]bus.StreamState, error)
	// ServerVersion is empty where there is no connection.
	ServerVersion() string
}

// Setting is one setting of the service, as the system page shows it: without what is secret.
type Setting struct{ Name, Value string }

// Deps are what the console works with; all are required but PublicURL, Settings and Traces.
type Deps struct {
	Cases *usecase.Service
	Bus   busState
	// Ring seals sessions.
	Ring *seal.Ring
	// PublicURL begins the addresses in what people copy; empty for what the request was sent to.
	PublicURL string
	// Settings are what the service was started with.
	Settings []Setting
	Version  string
	// Traces gets a span for each request; nil for none.
	Traces *trace.Tracer
	Log    *zap.Logger
}

type console struct {
	Deps

	pages  pages
	assets assets
	counts *countCache
	tails  *daemon.Shares
}

// New makes the console's handler, for all paths under Root. It fails where a template is wrong.
func New(d Deps) (http.Handler, error) {
	c := &console{
		Deps: d, counts: newCountCache(), tails: daemon.NewShares(maxTails, tailPatience, maxTenantTails, maxTokenTails),
	}
	var err error
	if c.assets, err = loadAssets(); err != nil {
		return nil, fmt.Errorf("read console files: %w", err)
	}
	if c.pages, err = loadPages(c.assets); err != nil {
		return nil, fmt.Errorf("read console templates: %w", err)
	}
	guarded := c.observe(c.recoverPanic(securityHeaders(sameOrigin(c.routes()))))
	return guarded, nil
}
