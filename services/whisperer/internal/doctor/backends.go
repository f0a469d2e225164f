package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// Thresholds of findings.
const (
	connectTimeout = 5 * time.Second
	// lagWarning is how many messages may wait for a consumer.
	lagWarning = 10_000
	// daysAhead is how many days of partitions must exist in advance; workers create one more.
	daysAhead = 1
	// lockWarning is how many seconds a transaction may wait for a lock.
	lockWarning = 30
)

func database(ctx context.Context, r report, o Options) {
	if o.DatabaseURL == "" {
		r.add(Skipped, "set WHISPERER_DATABASE_URL as the services have it", "the database is not known here")
		return
	}
	db, err := store.Open(o.DatabaseURL, 1, nil)
	if err != nil {
		r.add(Problem, "set WHISPERER_DATABASE_URL to 'postgres://user:password@host:5432/database?sslmode=disable'   # without ?sslmode=disable if it has TLS", "%s", err)
		return
	}
	defer db.Close()
	before := time.Now()
	d, err := db.Diagnose(ctx)
	switch {
	case errors.Is(err, store.ErrNoTLS):
		r.add(Problem, "add ?sslmode=disable to WHISPERER_DATABASE_URL, or enable TLS: ssl = on   # in postgresql.conf", "%s", err)
		return
	case err != nil:
		r.add(Problem, "pg_isready -d \"$WHISPERER_DATABASE_URL\"   # then look at its log, its user and the network", "%s", err)
		return
	}
	major := d.Version / 10000
	if major < store.MinServer {
		r.add(Problem, "upgrade PostgreSQL: pg_upgrade", "PostgreSQL is %d.%d, and %d is the oldest that works", major, d.Version%10000, store.MinServer)
	} else {
		r.add(OK, "", "PostgreSQL %d.%d, %s", major, d.Version%10000, size(d.Bytes))
	}
	skew(r, "PostgreSQL", d.Clock, before, time.Now())
	share(r, fmt.Sprintf("%d of %d connections used", d.Connections, d.MaxConnections), int64(d.Connections), int64(d.MaxConnections),
		"ALTER SYSTEM SET max_connections = 200   # and restart")
	if !d.Fsync {
		r.add(Warning, "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()", "fsync is off: a power cut can destroy the database")
	}
	if d.Replica {
		r.add(Problem, "point WHISPERER_DATABASE_URL at the primary", "this server is a replica and cannot be written to")
	}
	if d.LongestLock > lockWarning {
		r.add(Warning, "SELECT pid, query, pg_blocking_pids(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
			"a transaction has been waiting for a lock for %.0f s", d.LongestLock)
	}
	switch err := db.Ready(ctx); {
	case errors.Is(err, store.ErrPooler):
		r.add(Problem, "pool_mode = session   # in pgbouncer.ini, for this database", "%s", err)
		return
	case err != nil:
		r.add(Problem, "whisperer migrate", "%s", err)
		return
	}
	r.add(OK, "", "the schema is this program's")
	knowing(ctx, r, db)
	partitions(r, d)
}

// knowing checks the workers' knowledge of hooks.
func knowing(ctx context.Context, r report, db *store.DB) {
	workers, err := db.KnowingWorkers(ctx)
	if err != nil {
		r.add(Problem, "look at the log of PostgreSQL", "%s", err)
		return
	}
	if len(workers) == 0 {
		r.add(Warning, "start a delivery-worker, or ask the /readyz of those that run", "no worker asks for changes of hooks")
	}
	for _, w := range workers {
		if w.Unreadable > 0 {
			r.add(Problem, "give all programs the same WHISPERER_MASTER_KEY, old keys behind the new one; the worker's log names the hooks",
				"worker %s cannot open or read %d hooks, and parks what they should get", w.Name, w.Unreadable)
		}
	}
}

func partitions(r report, d store.Diagnosis) {
	const mend = "start a delivery-worker: it makes the partitions; then look for \"partitions\" in its log"
	today := d.Clock.UTC().Truncate(24 * time.Hour)
	switch {
	case d.LastDay == nil:
		r.add(Warning, mend, "there are no partitions: no worker has run yet")
	case d.LastDay.Before(today):
		r.add(Problem, mend, "the newest partitions are of %s: nothing of today can be recorded", d.LastDay.UTC().Format(time.DateOnly))
	case d.LastDay.Before(today.AddDate(0, 0, daysAhead)):
		r.add(Warning, mend, "there are no partitions for tomorrow")
	default:
		r.add(OK, "", "partitions up to %s", d.LastDay.UTC().Format(time.DateOnly))
	}
}

func nats(ctx context.Context, r report, o Options) {
	if o.NATSURL == "" {
		r.add(Skipped, "set WHISPERER_NATS_URL as the services have it", "NATS is not known here")
		return
	}
	connecting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	options := o.Streams
	options.URL, options.Name, options.Log, options.Installation, options.Credentials = o.NATSURL, "whisperer-doctor", zap.NewNop(), installation(ctx, o), o.NATS
	b, err := bus.Connect(connecting, options)
	if err != nil {
		r.add(Problem, "do what it says; else: nats server check connection --server \"$WHISPERER_NATS_URL\"   # and look at its log", "%s", err)
		return
	}
	defer b.Close()
	if err := b.CheckServer(); err != nil {
		r.add(Problem, "upgrade nats-server, one node at a time", "%s", err)
	} else {
		r.add(OK, "", "nats-server %s", b.ServerVersion())
	}
	before := time.Now()
	store, err := b.Streams().Store(ctx)
	if err != nil {
		r.add(Problem, "enable JetStream in the server's configuration: jetstream { store_dir: … }", "%s", err)
		return
	}
	if !store.Clock.IsZero() {
		skew(r, "NATS", store.Clock, before, time.Now())
	}
	full(r, "JetStream's store", store.Used, store.Limit, "raise max_file_store, or give the account more: nats account info")
	streams(ctx, r, b, o)
	access(ctx, r, b, o)
	versions(ctx, r, o)
}

// access checks whether the services' NATS user has more permissions than they need.
func access(ctx context.Context, r report, b *bus.Bus, o Options) {
	const mend = "whisperer nats permissions TENANT…   # and include what it prints in nats-server's configuration"
	a, err := b.Allowed(ctx)
	switch {
	case err != nil:
		r.add(Warning, "look at the log of nats-server", "%s", err)
	case a.Account == bus.Accountless && loopback(o.NATSURL):
		r.add(OK, "", "NATS has no accounts, and is on this machine")
	case a.Account == bus.Accountless:
		r.add(Warning, mend, "NATS has no accounts: whoever reaches it speaks for every tenant, and may rewrite the ledger")
	case a.Wide:
		r.add(Warning, mend, "the services' user may do everything in account %s: delete streams, purge the ledger, take backups", a.Account)
	default:
		r.add(OK, "", "the services' user of NATS may do no more than they need")
	}
}

// loopback reports whether all servers of the URLs are on this machine.
func loopback(urls string) bool {
	for address := range strings.SplitSeq(urls, ",") {
		u, err := url.Parse(strings.TrimSpace(address))
		if err != nil {
			return false
		}
		addr, err := netip.ParseAddr(u.Hostname())
		if u.Hostname() != "localhost" && (err != nil || !addr.IsLoopback()) {
			return false
		}
	}
	return true
}

// installation returns the id in the database, or "" if it cannot be read, which another finding reports.
func installation(ctx context.Context, o Options) string {
	if o.DatabaseURL == "" {
		return ""
	}
	db, err := store.Open(o.DatabaseURL, 1, nil)
	if err != nil {
		return ""
	}
	defer db.Close()
	id, err := db.Installation(ctx)
	if err != nil {
		return ""
	}
	return id.String()
}

// settings compares the streams with the settings, and checks that they belong to this installation.
func settings(ctx context.Context, r report, b *bus.Bus) {
	list, err := b.Streams().Settings(ctx)
	var foreign *bus.ForeignError
	switch {
	case errors.As(err, &foreign):
		r.add(Problem, "give this installation a NATS account or a WHISPERER_NAMESPACE of its own, or run whisperer migrate streams --adopt", "%s", err)
	case err != nil:
		r.add(Problem, "look at the log of nats-server", "%s", err)
	}
	for _, s := range list {
		r.add(Warning, "whisperer migrate streams   # with --apply it changes the stream; or set the services to what it has",
			"stream %s has %s %d, and the settings say %d", s.Stream, s.Name, s.Have, s.Want)
	}
}

func streams(ctx context.Context, r report, b *bus.Bus, o Options) {
	const mend = "start subscription-api or delivery-worker: each makes what is missing"
	list, err := b.Streams().States(ctx)
	if err != nil {
		r.add(Problem, mend, "%s", err)
		return
	}
	for _, s := range list {
		if s.Name == bus.StreamAside && s.Messages > 0 {
			r.add(Problem, "whisperer ledger set-aside list   # mend the cause, then: whisperer ledger set-aside put-back --all",
				"%d ledger entries are set aside: PostgreSQL refused them while it took others", s.Messages)
		}
		if s.MaxBytes > 0 {
			full(r, "stream "+s.Name, int64(min(s.Bytes, 1<<62)), s.MaxBytes, "see which consumer is behind; else raise WHISPERER_OMS_MAX_BYTES or WHISPERER_OWN_MAX_BYTES and run whisperer migrate streams --apply")
		} else {
			r.add(OK, "", "stream %s: %d messages, %s", s.Name, s.Messages, size(int64(min(s.Bytes, 1<<62))))
		}
		if strings.HasSuffix(s.Name, bus.StreamOMS) {
			durability(ctx, r, o, s.Replicas)
		}
	}
	settings(ctx, r, b)
	for _, c := range bus.Consumers() {
		lag, err := b.Lag(ctx, c)
		switch {
		case err != nil:
			r.add(Problem, mend, "%s", err)
		case lag.Pending > lagWarning:
			r.add(Warning, "start more delivery-workers: docker compose up -d --scale delivery-worker=4",
				"consumer %s is %d messages behind", c, lag.Pending)
		default:
			r.add(OK, "", "consumer %s: %d waiting, %d in work", c, lag.Pending, lag.InFlight)
		}
	}
}
