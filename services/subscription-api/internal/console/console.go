// Package console serves the web console under /console/: server-rendered pages on which people manage hooks and look
// after deliveries. A person signs in with an API token and may do what that token may do.
//
// Pages load nothing from other hosts and contain no inline scripts or styles, so the content security policy only
// allows files of this package.
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

// Root is the prefix of the console's paths.
const Root = "/console/"

// busState tells the state of the bus.
type busState interface {
	Lag(ctx context.Context, c bus.Consumer) (bus.Lag, error)
	Streams(ctx context.Context) ([]bus.StreamState, error)
	// ServerVersion is empty if there is no connection.
	ServerVersion() string
}

// Setting is a setting of the service, as the system page shows it, without secrets.
type Setting struct{ Name, Value string }

// Deps are the console's dependencies; all are required except PublicURL, Settings and Traces.
type Deps struct {
	Cases *usecase.Service
	Bus   busState
	// Ring seals sessions.
	Ring *seal.Ring
	// PublicURL is the base of addresses that people copy; empty means the address that the request was sent to.
	PublicURL string
	// Settings is the service's configuration.
	Settings []Setting
	Version  string
	// Traces gets a span for each request; may be nil.
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

// New returns the console's handler for all paths under Root. It returns an error if a template is invalid.
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
