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
	"strings"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/bus"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/seal"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Root is where the console lies.
const Root = "/console/"

// accountStore knows tokens and tenants; *postgres.DB is one.
type accountStore interface {
	Authenticate(ctx context.Context, plain string) (postgres.Token, error)
	ValidToken(ctx context.Context, id uuid.UUID) (postgres.Token, error)
	Tenants(ctx context.Context) ([]postgres.Tenant, error)
	TenantExists(ctx context.Context, name string) (bool, error)
}

// hookStore keeps hooks; *postgres.DB is one.
type hookStore interface {
	Hook(ctx context.Context, tenant string, id uuid.UUID) (webhook.Hook, error)
	Hooks(ctx context.Context, tenant string, f postgres.HookFilter, page postgres.Page) ([]webhook.Hook, bool, error)
	CreateHook(ctx context.Context, actor postgres.Actor, h webhook.Hook, quota int, key postgres.IdempotencyKey) (webhook.Hook, error)
	UpdateHook(ctx context.Context, actor postgres.Actor, tenant string, id uuid.UUID, version postgres.IfVersion, edit func(*webhook.Hook) error) (webhook.Hook, error)
	DeleteHook(ctx context.Context, actor postgres.Actor, tenant string, id uuid.UUID, version postgres.IfVersion) error
}

// typeStore keeps the event types that tenants declared; *postgres.DB is one.
type typeStore interface {
	EventTypes(ctx context.Context, tenant string) ([]postgres.EventType, error)
}

// historyStore knows what happened; *postgres.DB is one.
type historyStore interface {
	Deliveries(ctx context.Context, tenant string, f postgres.DeliveryFilter, page postgres.Page) ([]webhook.Delivery, bool, error)
	Delivery(ctx context.Context, tenant string, id uuid.UUID) (webhook.Delivery, []webhook.Attempt, error)
	Events(ctx context.Context, tenant string, f postgres.EventFilter, page postgres.Page) ([]postgres.EventSummary, bool, error)
	FindEvent(ctx context.Context, tenant, id string) (webhook.Event, error)
	Rejected(ctx context.Context, tenant string, r postgres.TimeRange, maxRaw int, page postgres.Page) ([]postgres.RejectedEvent, bool, error)
}

// statsStore counts; *postgres.DB is one.
type statsStore interface {
	HookStats(ctx context.Context, tenant string, hook uuid.UUID, now time.Time) (postgres.HookStats, error)
	PerMinute(ctx context.Context, tenant string, since time.Time) ([]postgres.Bucket, error)
	PerHook(ctx context.Context, hooks []uuid.UUID, since time.Time, span postgres.Span) (map[uuid.UUID][]postgres.Bucket, error)
	OpenStates(ctx context.Context, tenant string, since time.Time) (map[webhook.DeliveryState]int, error)
	UnhealthyHooks(ctx context.Context, tenant string, limit int) ([]postgres.Unhealthy, error)
}

// retrier sends deliveries again; *postgres.DB is one.
type retrier interface {
	RetryDelivery(ctx context.Context, actor postgres.Actor, tenant string, id uuid.UUID, force bool) error
}

// adminStore is for those who look after tokens; *postgres.DB is one.
type adminStore interface {
	CreateToken(ctx context.Context, actor postgres.Actor, n postgres.NewToken) (plain string, token postgres.Token, err error)
	Tokens(ctx context.Context, tenant string) ([]postgres.Token, error)
	RevokeToken(ctx context.Context, actor postgres.Actor, tenant string, id uuid.UUID) error
	AuditLog(ctx context.Context, tenant string, f postgres.AuditFilter, page postgres.Page) ([]postgres.AuditEntry, bool, error)
}

// lagReader tells how far the consumers of the bus are behind.
type lagReader interface {
	Lag(ctx context.Context, c bus.Consumer) (bus.Lag, error)
}

// urlChecker judges target URLs; egress.Policy is one.
type urlChecker interface {
	CheckURL(raw string) (canonical string, err error)
}

// Deps are what the console works with; all are required.
type Deps struct {
	Accounts   accountStore
	Hooks      hookStore
	EventTypes typeStore
	History    historyStore
	Stats      statsStore
	Retries    retrier
	Admin      adminStore
	Bus        lagReader
	URLs       urlChecker
	// Ring seals sessions.
	Ring *seal.Ring
	// PublicURL begins the addresses in what people copy; empty for what the request was sent to.
	PublicURL string
	// HookQuota is how many hooks a tenant may have.
	HookQuota int
	Version   string
	Log       *zap.Logger
}

type console struct {
	Deps

	pages  pages
	assets assets
	now    func() time.Time
}

// New makes the console's handler, for all paths under Root. It fails where a template is wrong.
func New(d Deps) (http.Handler, error) {
	c := &console{Deps: d, now: time.Now}
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

func (c *console) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET "+Root+"static/{name}", c.assets)
	open := func(pattern string, h handler) { mux.Handle(rooted(pattern), c.serve(h)) }
	page := func(least postgres.Role, pattern string, h handler) {
		mux.Handle(rooted(pattern), c.serve(c.admit(least, h)))
	}

	open("GET sign-in", c.signInPage)
	open("POST sign-in", c.signIn)
	open("POST sign-out", c.signOut)
	open("POST theme", c.setTheme)
	page(postgres.Viewer, "GET tenants/{$}", c.listTenants)
	page(postgres.Viewer, "POST tenants/{$}", c.setTenant)
	page(postgres.Viewer, "GET {$}", c.overview)

	page(postgres.Viewer, "GET hooks/{$}", c.listHooks)
	page(postgres.Editor, "POST hooks/{$}", c.createHook)
	page(postgres.Editor, "POST hooks/status", c.setStatuses)
	page(postgres.Editor, "GET hooks/new", c.newHookPage)
	page(postgres.Editor, "POST hooks/check", c.checkHook)
	page(postgres.Viewer, "GET hooks/{id}/{$}", c.hookPage)
	page(postgres.Editor, "POST hooks/{id}/{$}", c.changeHook)
	page(postgres.Editor, "GET hooks/{id}/edit", c.editHookPage)
	page(postgres.Editor, "POST hooks/{id}/status", c.setStatus)
	page(postgres.Editor, "POST hooks/{id}/rotate", c.rotateSecret)
	page(postgres.Editor, "GET hooks/{id}/delete", c.deleteHookPage)
	page(postgres.Editor, "POST hooks/{id}/delete", c.deleteHook)

	page(postgres.Viewer, "GET deliveries/{$}", c.listDeliveries)
	page(postgres.Viewer, "GET deliveries/{id}/{$}", c.deliveryPage)
	page(postgres.Editor, "POST deliveries/{id}/retry", c.retryDelivery)
	page(postgres.Viewer, "GET events/{$}", c.listEvents)
	page(postgres.Viewer, "GET event", c.eventPage)
	page(postgres.Viewer, "GET rejected/{$}", c.listRejected)
	page(postgres.Viewer, "GET types/{$}", c.listTypes)
	page(postgres.Viewer, "GET types/{name}", c.typePage)

	page(postgres.Admin, "GET tokens/{$}", c.listTokens)
	page(postgres.Admin, "POST tokens/{$}", c.createToken)
	page(postgres.Admin, "POST tokens/{id}/revoke", c.revokeToken)
	page(postgres.Admin, "GET audit/{$}", c.listAudit)
	page(postgres.Viewer, "GET system/{$}", c.systemPage)
	page(postgres.Viewer, Root, c.nowhere)
	return mux
}

// rooted puts the console's root between a pattern's method and path.
func rooted(pattern string) string {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		return pattern
	}
	return method + " " + Root + path
}
