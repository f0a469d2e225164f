package e2e_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/localpg"
	"github.com/whisperer-oms/whisperer/services/internal/natsd"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// These tests make an operator's mistakes and correct them. In each case both programs keep running and become not
// ready. They say what to do in /readyz, and once a minute in the log. They recover by themselves after the
// correction. Nothing that was published meanwhile is lost. Each mistake is tested with programs that are started
// during it, and with running programs.

// mistake is an operator's mistake.
type mistake struct {
	make, mend func(*ground)
	// words are what both programs say about it.
	words []string
	// elsewhere says that the statements are executed in another database.
	elsewhere bool
	// workerOnly says that it does not affect the API.
	workerOnly bool
	// ofNATS says that the API continues without NATS once it had it.
	ofNATS bool
	// startOnly says that running programs do not notice it until they are restarted.
	startOnly bool
}

func mistakes() map[string]mistake {
	exec := func(statements ...string) func(*ground) {
		return func(g *ground) { g.t.Helper(); g.exec(statements...) }
	}
	const sendAway = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'`
	return map[string]mistake{
		"the database of another program": {
			make:  exec(`ALTER SCHEMA public RENAME TO ours; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO app; CREATE TABLE public.invoices (id int); GRANT ALL ON public.invoices TO app`),
			mend:  exec(`DROP SCHEMA public CASCADE; ALTER SCHEMA ours RENAME TO public`),
			words: []string{"tables of another program", "WHISPERER_DATABASE_URL", "whisperer migrate up"},
		},
		"no schema": {
			make:  exec(`ALTER SCHEMA public RENAME TO ours; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO app`),
			mend:  exec(`DROP SCHEMA public CASCADE; ALTER SCHEMA ours RENAME TO public`),
			words: []string{"run `whisperer migrate up`"},
		},
		"an older schema": {
			make:  exec(`UPDATE goose_db_version SET is_applied = false WHERE version_id = (SELECT max(version_id) FROM goose_db_version)`),
			mend:  exec(`UPDATE goose_db_version SET is_applied = true`),
			words: []string{"run `whisperer migrate up`"},
		},
		"a newer schema": {
			make: exec(`INSERT INTO goose_db_version (version_id, is_applied) SELECT max(version_id) + 1, true FROM goose_db_version;
				UPDATE schema_support SET oldest = (SELECT max(version_id) FROM goose_db_version)`),
			mend:  exec(`DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version); UPDATE schema_support SET oldest = 1`),
			words: []string{"run a newer program"},
		},
		"a role that may not INSERT": {
			make:  exec(`REVOKE INSERT ON ALL TABLES IN SCHEMA public FROM app`),
			mend:  exec(`GRANT INSERT ON ALL TABLES IN SCHEMA public TO app`),
			words: []string{"may not INSERT", "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"},
		},
		"a role that owns nothing": {
			make:       exec(`ALTER TABLE deliveries OWNER TO boss; GRANT ALL ON ALL TABLES IN SCHEMA public TO app`),
			mend:       exec(`ALTER TABLE deliveries OWNER TO app`),
			words:      []string{"does not own deliveries", "GRANT boss TO app"},
			workerOnly: true,
		},
		"a database that only reads": {
			make:       exec(`ALTER DATABASE whisperer SET default_transaction_read_only = on`, sendAway),
			mend:       exec(`ALTER DATABASE whisperer RESET default_transaction_read_only`, sendAway),
			elsewhere:  true,
			words:      []string{"only reads", "WHISPERER_DATABASE_URL leads to the primary"},
			workerOnly: true,
		},
		"a role that may read nothing": {
			make:  exec(`REVOKE ALL ON ALL TABLES IN SCHEMA public FROM app`),
			mend:  exec(`GRANT ALL ON ALL TABLES IN SCHEMA public TO app`),
			words: []string{"grant it"},
		},
		"a role that may not read whose the database is": {
			make:  exec(`REVOKE ALL ON installation FROM app`),
			mend:  exec(`GRANT ALL ON installation TO app`),
			words: []string{"may not SELECT installation", "GRANT"},
		},
		"a wrong password of PostgreSQL": {
			make:  exec(`ALTER ROLE app PASSWORD 'changed'`, sendAway),
			mend:  exec(`ALTER ROLE app PASSWORD 'right'`),
			words: []string{"does not let this program in", "correct user and password in WHISPERER_DATABASE_URL"},
		},
		"no such database": {
			make: func(g *ground) {
				g.t.Helper()
				g.exec(`ALTER DATABASE whisperer ALLOW_CONNECTIONS false`)
				require.Eventually(g.t, func() bool { // including the test's own sessions
					return g.tryExec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'whisperer'`, `ALTER DATABASE whisperer RENAME TO away`) == nil
				}, 2*time.Minute, 50*time.Millisecond)
			},
			mend:      exec(`ALTER DATABASE away RENAME TO whisperer`, `ALTER DATABASE whisperer ALLOW_CONNECTIONS true`),
			words:     []string{"there is no such database", "WHISPERER_DATABASE_URL"},
			elsewhere: true,
		},
		"streams of another installation": {
			ofNATS: true,
			make:   func(g *ground) { g.t.Helper(); g.adopt(uuid.NewString()) },
			mend:   func(g *ground) { g.t.Helper(); g.adopt(g.installation) },
			words:  []string{"belongs to another installation", "WHISPERER_NAMESPACE", "whisperer migrate streams --adopt"},
			// a running worker ends, because it may no longer take what is in the streams, and waits when it is
			// restarted
			startOnly: true,
		},
		"a wrong password of NATS": {
			ofNATS: true,
			make:   func(g *ground) { g.t.Helper(); g.restartNATS("changed") },
			mend:   func(g *ground) { g.t.Helper(); g.restartNATS("right") },
			words:  []string{"refuses these credentials", "WHISPERER_NATS_CREDS"},
		},
	}
}

// ground is a PostgreSQL and a NATS that require passwords, with an installation on them.
type ground struct {
	t            *testing.T
	pg           *localpg.Server
	database     string // where statements are executed
	nats         *natsd.Server
	natsConfig   string
	installation string
	url, natsURL string
	key          string
	bus          *bus.Bus
	db           *store.DB
	receiver     *testenv.Receiver
	hook         uuid.UUID
}

func newGround(t *testing.T) *ground {
	t.Helper()
	g := &ground{t: t, key: seal.NewKey(), natsConfig: filepath.Join(t.TempDir(), "nats.conf")}
	var err error
	g.pg, err = localpg.Start(t.Context(), localpg.Options{TCP: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.pg.Stop(context.Background())) })
	g.database = "postgres"
	g.exec(`CREATE ROLE boss`, `CREATE ROLE app LOGIN PASSWORD 'right'`, `CREATE DATABASE whisperer OWNER app`)
	g.database = "whisperer"
	at, err := url.Parse(g.pg.URL("whisperer"))
	require.NoError(t, err)
	at.User = url.UserPassword("app", "right")
	g.url = at.String()
	_, err = store.Migrate(t.Context(), g.url)
	require.NoError(t, err)
	ring, err := seal.ParseRing(g.key)
	require.NoError(t, err)
	g.db, err = store.Open(g.pg.URL("whisperer"), 2, ring)
	require.NoError(t, err)
	t.Cleanup(func() { _ = g.db.Close() })
	id, err := g.db.Installation(t.Context())
	require.NoError(t, err)
	g.installation = id.String()

	g.writeNATS("right")
	g.nats, err = natsd.Start(t.Context(), natsd.Options{StoreDir: t.TempDir(), Port: freePort(t), ConfigFile: g.natsConfig})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.nats.Shutdown(context.Background())) })
	g.natsURL = g.nats.ClientURL()
	g.bus = g.connect(g.installation)
	require.NoError(t, g.bus.Streams().Ensure(t.Context()))
	return g
}

// exec executes statements as the superuser, each in its own transaction.
func (g *ground) exec(statements ...string) {
	g.t.Helper()
	require.NoError(g.t, g.tryExec(statements...))
}

func (g *ground) tryExec(statements ...string) error {
	db, err := sql.Open("postgres", g.pg.URL(g.database))
	if err != nil {
		return err
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(g.t.Context(), s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// writeNATS writes the server's configuration, with the programs' password.
func (g *ground) writeNATS(password string) {
	g.t.Helper()
	require.NoError(g.t, os.WriteFile(g.natsConfig, fmt.Appendf(nil, `
		accounts { A { jetstream: enabled, users: [{user: programs, password: %s}, {user: test, password: test}] } }`, password), 0o600))
}

func (g *ground) restartNATS(password string) {
	g.t.Helper()
	g.writeNATS(password)
	require.NoError(g.t, g.nats.Shutdown(g.t.Context()))
	var err error
	g.nats, err = g.nats.Again(g.t.Context())
	require.NoError(g.t, err)
}

// connect connects this test as an installation.
func (g *ground) connect(installation string) *bus.Bus {
	g.t.Helper()
	b, err := bus.Connect(g.t.Context(), bus.Options{
		URL: g.natsURL, Name: "test", Credentials: bus.Credentials{User: "test", Password: "test"}, Installation: installation, OMSMaxBytes: 64 << 20, OwnMaxBytes: 16 << 20, Log: zap.NewNop(),
	})
	require.NoError(g.t, err)
	g.t.Cleanup(b.Close)
	return b
}

// adopt assigns the streams to another installation.
func (g *ground) adopt(installation string) {
	g.t.Helper()
	adopted, err := g.connect(installation).Streams().Adopt(g.t.Context())
	require.NoError(g.t, err)
	require.Len(g.t, adopted, 5)
}

// output is a program's output, which can be read while the program runs.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// problems returns the lines that are warnings or errors.
func (o *output) problems() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []string
	for line := range strings.Lines(o.text.String()) {
		if strings.Contains(line, `"level":"warn"`) || strings.Contains(line, `"level":"error"`) {
			list = append(list, line)
		}
	}
	return list
}

// running is a running program.
type running struct {
	*ground

	name, health string
	said         *output
	ended        chan struct{}
}

func (g *ground) start(name string) *running {
	g.t.Helper()
	p := &running{ground: g, name: name, health: "http://" + freeAddress(g.t), said: &output{}, ended: make(chan struct{})}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, name))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Env = append(os.Environ(), "WHISPERER_DATABASE_URL="+g.url, "WHISPERER_NATS_URL="+g.natsURL, "WHISPERER_MASTER_KEY="+g.key,
		"WHISPERER_NATS_USER=programs", "WHISPERER_NATS_PASSWORD=right", "WHISPERER_EGRESS_ALLOW=127.0.0.0/8", "WHISPERER_OMS_MAX_BYTES=67108864",
		"WHISPERER_OWN_MAX_BYTES=16777216", "WHISPERER_HEALTH_LISTEN="+strings.TrimPrefix(p.health, "http://"), "WHISPERER_LISTEN="+freeAddress(g.t))
	cmd.Stderr = p.said
	require.NoError(g.t, cmd.Start())
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()
	g.t.Cleanup(func() {
		stop()
		<-p.ended
		if g.t.Failed() {
			g.t.Logf("%s said:\n%s", name, p.said.text.String())
		}
	})
	return p
}

// readiness asks the program, which must answer.
func (p *running) readiness(path string) (status int, text string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.health+path, nil)
	require.NoError(p.t, err)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(p.t, err)
	return answer.StatusCode, string(body)
}

func (p *running) ready() bool {
	status, _ := p.readiness("/readyz")
	return status == http.StatusOK
}

func containsAll(text string, words []string) bool {
	return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) })
}

// says counts the lines that contain all the words.
func (p *running) says(words []string) int {
	n := 0
	for _, line := range p.said.problems() {
		if containsAll(line, words) {
			n++
		}
	}
	return n
}

// named waits until the program is not ready for that reason, and has logged it.
func (p *running) named(words []string, staysReady bool) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		status, text := p.readiness("/readyz")
		told := staysReady || status == http.StatusServiceUnavailable && containsAll(text, words)
		return told && p.says(words) > 0
	}, 2*time.Minute, 50*time.Millisecond, "%s has to say %q", p.name, words)
}

// endure takes programs through a mistake and its correction.
func (g *ground) endure(m mistake, programs func() []*running, atStart bool) {
	t := g.t
	t.Helper()
	if m.elsewhere {
		g.database = "postgres"
	}
	began := time.Now()
	m.make(g)
	var met []*running
	for _, p := range programs() {
		if p.name == "subscription-api" && m.workerOnly {
			continue
		}
		p.named(m.words, !atStart && m.ofNATS && p.name == "subscription-api")
		met = append(met, p)
	}
	g.publish("e-2")
	if !atStart && !m.ofNATS {
		require.Eventually(t, func() bool {
			return slices.ContainsFunc(g.receiver.All(), func(r testenv.Received) bool { return eventID(r) == "e-2" })
		}, 2*time.Minute, 50*time.Millisecond, "deliveries go on")
	}
	select { // long enough for a program that complains every second
	case <-time.After(5 * time.Second):
	case <-t.Context().Done():
	}
	for _, p := range met {
		status, _ := p.readiness("/healthz")
		require.Equal(t, http.StatusOK, status, "%s lives on: nobody has to start it again", p.name)
		require.LessOrEqual(t, p.says(m.words), 1+int(time.Since(began)/time.Minute), "%s says it once a minute", p.name)
		for _, line := range p.said.problems() {
			t.Logf("%s: %s", p.name, line)
		}
	}
	m.mend(g)
	for _, p := range met {
		require.Eventually(t, p.ready, 2*time.Minute, 50*time.Millisecond, "%s goes on by itself", p.name)
	}
	g.publish("e-3")
	g.delivered("e-1", "e-2", "e-3")
	n, err := g.bus.Aside().Count(t.Context())
	require.NoError(t, err)
	require.Zero(t, n, "nothing is wrong with the entries")
}

func (g *ground) publish(id string) {
	g.t.Helper()
	require.Eventually(g.t, func() bool {
		return g.bus.PublishEvents(g.t.Context(), []bus.Outgoing{{Tenant: webhook.DefaultTenant, Type: "order.created", ID: id, Body: []byte(`{"data":1}`)}}) == nil
	}, 2*time.Minute, 100*time.Millisecond, "publish %s", id)
}

// delivered waits until the ledger has recorded the deliveries.
func (g *ground) delivered(ids ...string) {
	g.t.Helper()
	for _, id := range ids {
		require.Eventually(g.t, func() bool {
			d, _, err := g.db.History.GetDelivery(g.t.Context(), webhook.DefaultTenant, webhook.DeliveryID(g.hook, id))
			return err == nil && d.State == webhook.Delivered
		}, 2*time.Minute, 50*time.Millisecond, "%s is delivered and in the ledger", id)
	}
}

// makeHook creates a hook for everything that is published.
func (g *ground) makeHook() {
	g.t.Helper()
	g.receiver = testenv.NewReceiver(g.t)
	g.hook = testenv.MakeHook(g.t, g.db, g.receiver.URL+"/", func(h *webhook.Hook) { h.EventTypes = []string{"order.created"} }).ID
}

func (g *ground) startBoth() []*running {
	return []*running{g.start("delivery-worker"), g.start("subscription-api")}
}

func TestProgramsStartIntoMistakesAndWaitUntilTheyAreMended(t *testing.T) {
	t.Parallel()
	for name, m := range mistakes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGround(t)
			g.makeHook()
			g.publish("e-1")
			g.endure(m, g.startBoth, true)
		})
	}
}

func TestProgramsThatRunOutliveMistakes(t *testing.T) {
	t.Parallel()
	for name, m := range mistakes() {
		if m.startOnly {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGround(t)
			g.makeHook()
			programs := g.startBoth()
			for _, p := range programs {
				require.Eventually(t, p.ready, 2*time.Minute, 50*time.Millisecond, p.name)
			}
			g.publish("e-1")
			g.delivered("e-1")
			g.endure(m, func() []*running { return programs }, false)
		})
	}
}
