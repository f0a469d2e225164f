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
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/attempt"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// Root is where the console lies.
const Root = "/console/"

// accountStore knows tokens and tenants; *store.DB is one.
type accountStore interface {
	Authenticate(ctx context.Context, plain string) (store.Token, error)
	ValidToken(ctx context.Context, id uuid.UUID) (store.Token, error)
	Tenants(ctx context.Context) ([]store.Tenant, error)
	TenantExists(ctx context.Context, name string) (bool, error)
}

// sessionStore knows the sessions that were ended before their time; *store.DB is one.
type sessionStore interface {
	EndSession(ctx context.Context, id uuid.UUID, expires time.Time) error
	SessionEnded(ctx context.Context, id uuid.UUID) (bool, error)
}

// hookStore keeps hooks; *store.DB is one.
type hookStore interface { //nolint:interfacebloat // what hooks are asked and told
	Hook(ctx context.Context, tenant string, id uuid.UUID) (webhook.Hook, error)
	SortedHooks(ctx context.Context, tenant string, f store.HookFilter, order store.HookOrder, page store.HookPage) ([]store.SortedHook, bool, error)
	Filters(ctx context.Context, tenant string) (map[uuid.UUID]string, error)
	CreateHook(ctx context.Context, actor store.Actor, h webhook.Hook, quota int, key store.IdempotencyKey) (webhook.Hook, error)
	UpdateHook(ctx context.Context, actor store.Actor, tenant string, id uuid.UUID, version store.IfVersion, edit func(*webhook.Hook) error) (webhook.Hook, error)
	DeleteHook(ctx context.Context, actor store.Actor, tenant string, id uuid.UUID, version store.IfVersion) error
}

// manyHooks counts hooks and changes many at once; *store.DB is one.
type manyHooks interface {
	CountHooks(ctx context.Context, tenant string, f store.HookFilter) (int, error)
	CountStatusChange(ctx context.Context, tenant string, s store.StatusChange) (int, error)
	SetStatuses(ctx context.Context, actor store.Actor, tenant string, s store.StatusChange) (int, error)
}

// typeStore keeps the event types that tenants declared; *store.DB is one.
type typeStore interface {
	EventTypes(ctx context.Context, tenant string) ([]store.EventType, error)
}

// historyStore knows what happened; *store.DB is one.
type historyStore interface {
	deliveryStore
	eventStore
}

type deliveryStore interface {
	Deliveries(ctx context.Context, tenant string, f store.DeliveryFilter, page store.Page) ([]webhook.Delivery, bool, error)
	ScanDeliveries(ctx context.Context, tenant string, f store.DeliveryFilter, page store.Page) (store.Scanned[webhook.Delivery], error)
	Delivery(ctx context.Context, tenant string, id uuid.UUID) (webhook.Delivery, []webhook.Attempt, error)
}

type eventStore interface {
	Events(ctx context.Context, tenant string, f store.EventFilter, page store.Page) ([]store.EventSummary, bool, error)
	SearchEvents(ctx context.Context, tenant string, f store.EventFilter, page store.Page) (store.Scanned[store.EventSummary], error)
	FindEvent(ctx context.Context, tenant, id string) (webhook.Event, error)
	Rejected(ctx context.Context, tenant string, f store.RejectedFilter, maxRaw int, page store.Page) ([]store.RejectedEvent, bool, error)
}

// explainStore knows what became of one event; *store.DB is one.
type explainStore interface {
	DeliveriesOf(ctx context.Context, tenant, eventID string, publishedAt time.Time, hooks []uuid.UUID) (map[uuid.UUID]webhook.Delivery, error)
	OrphansOf(ctx context.Context, tenant, eventID string, publishedAt time.Time, limit int) ([]webhook.Delivery, error)
}

// eventScanner reads events of the past; *store.DB is one.
type eventScanner interface {
	ScanEvents(ctx context.Context, tenant string, f store.EventFilter, limit int, take func(*webhook.Event)) (more bool, err error)
}

// statsStore counts; *store.DB is one.
type statsStore interface {
	HookStats(ctx context.Context, tenant string, hook uuid.UUID, now time.Time) (store.HookStats, error)
	PerMinute(ctx context.Context, tenant string, since time.Time) ([]store.Bucket, error)
	PerHook(ctx context.Context, hooks []uuid.UUID, since time.Time, span store.Span) (map[uuid.UUID][]store.Bucket, error)
	OpenStates(ctx context.Context, tenant string, since time.Time) (map[webhook.DeliveryState]int, error)
	Durations(ctx context.Context, tenant string, since time.Time) (store.Durations, error)
}

// healthStore tells who is not well; *store.DB is one.
type healthStore interface {
	UnhealthyHooks(ctx context.Context, tenant string, limit int) ([]store.Unhealthy, error)
	RestingHooks(ctx context.Context, tenant string) (int, error)
	System(ctx context.Context) (store.System, error)
	WorkersSeen(ctx context.Context, tenant string, since time.Time) ([]store.WorkerSeen, error)
}

// retrier sends deliveries again; *store.DB is one.
type retrier interface {
	RetryDelivery(ctx context.Context, actor store.Actor, tenant string, id uuid.UUID, force bool) error
	CountRetriable(ctx context.Context, tenant string, f store.DeliveryFilter) (int, error)
	RetryDeliveries(ctx context.Context, actor store.Actor, tenant string, f store.DeliveryFilter) (int, error)
}

// jobStore does replays in batches; *store.DB is one.
type jobStore interface {
	CountReplay(ctx context.Context, r store.Replay) (int, error)
	CreateJob(ctx context.Context, actor store.Actor, n store.NewJob) (store.Job, error)
	Jobs(ctx context.Context, tenant string, hook uuid.UUID, page store.Page) ([]store.Job, bool, error)
	Job(ctx context.Context, tenant string, id uuid.UUID) (store.Job, error)
	SetJobState(ctx context.Context, actor store.Actor, tenant string, id uuid.UUID, state store.JobState) (store.Job, error)
}

// adminStore is for those who look after tokens; *store.DB is one.
type adminStore interface {
	CreateToken(ctx context.Context, actor store.Actor, n store.NewToken) (plain string, token store.Token, err error)
	Tokens(ctx context.Context, tenant string) ([]store.Token, error)
	RevokeToken(ctx context.Context, actor store.Actor, tenant string, id uuid.UUID) error
	AuditLog(ctx context.Context, tenant string, f store.AuditFilter, page store.Page) ([]store.AuditEntry, bool, error)
}

// trialStore keeps who tested what; *store.DB is one.
type trialStore interface {
	NoteTest(ctx context.Context, actor store.Actor, tenant string, hook uuid.UUID, eventType, host string) error
}

// trier sends tests; *attempt.Sender is one.
type trier interface {
	Try(ctx context.Context, h *webhook.Hook, e *webhook.Event) (attempt.Trial, error)
}

// theBus tells how the bus is doing.
type theBus interface {
	Lag(ctx context.Context, c bus.Consumer) (bus.Lag, error)
	Streams(ctx context.Context) ([]bus.StreamState, error)
	// ServerVersion is empty where there is no connection.
	ServerVersion() string
}

// urlChecker judges target URLs; egress.Policy is one.
type urlChecker interface {
	CheckURL(raw string) (canonical string, err error)
}

// Setting is one setting of the service, as the system page shows it: without what is secret.
type Setting struct{ Name, Value string }

// Deps are what the console works with; all are required but PublicURL and Settings.
type Deps struct {
	Accounts   accountStore
	Sessions   sessionStore
	Hooks      hookStore
	ManyHooks  manyHooks
	EventTypes typeStore
	History    historyStore
	Explained  explainStore
	Scanned    eventScanner
	Stats      statsStore
	Health     healthStore
	Retries    retrier
	Jobs       jobStore
	Admin      adminStore
	Trials     trialStore
	Aside      asideDesk
	Sender     trier
	Bus        theBus
	URLs       urlChecker
	// LookUps are each tenant's and token's shares of looking things up, and Searches those of doing so without an index.
	LookUps, Searches *daemon.Shares
	// Guesses slows down those who guess tokens; nil for nobody.
	Guesses *daemon.Guesses
	// Mask hides what is secret in URLs from viewers.
	Mask webhook.Mask
	// Ring seals sessions.
	Ring *seal.Ring
	// PublicURL begins the addresses in what people copy; empty for what the request was sent to.
	PublicURL string
	// HookQuota is how many hooks a tenant may have.
	HookQuota int
	// Settings are what the service was started with.
	Settings []Setting
	Version  string
	Log      *zap.Logger
}

type console struct {
	Deps

	pages  pages
	assets assets
	counts *counts
	tails  *daemon.Shares
	tries  *daemon.Limits
	now    func() time.Time
}

// New makes the console's handler, for all paths under Root. It fails where a template is wrong.
func New(d Deps) (http.Handler, error) {
	c := &console{
		Deps: d, counts: newCounts(), tails: daemon.NewShares(maxTails, tailPatience, maxTenantTails, maxTokenTails),
		tries: daemon.NewLimits(tryEvery, tryBurst), now: time.Now,
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
