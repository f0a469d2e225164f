package doctor

import (
	"context"
	"database/sql"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// requireFinding requires a finding with the level, a matching text, and advice.
func requireFinding(t *testing.T, list []Finding, level Level, text string) {
	t.Helper()
	for _, f := range list {
		if f.Level == level && regexp.MustCompile(text).MatchString(f.Text) {
			require.True(t, level == OK || f.Mend != "", "nothing mends %q", f.Text)
			return
		}
	}
	require.Failf(t, "no such finding", "%s %q in %+v", level, text, list)
}

func TestKeysAndPasswordsThatArePublicAreFound(t *testing.T) {
	t.Parallel()
	list := Check(t.Context(), Options{Environ: []string{
		"WHISPERER_MASTER_KEY=aW5zZWN1cmUtZGV2ZWxvcG1lbnQtbWFzdGVyLWtleSE=", "WHISPERER_DATABASE_URL=postgres://whisperer:development-only@db/whisperer",
	}})
	requireFinding(t, list, Problem, "WHISPERER_MASTER_KEY")
	requireFinding(t, list, Problem, "WHISPERER_DATABASE_URL")
}

func TestAPoolerInTransactionModeIsFound(t *testing.T) {
	t.Parallel()
	requireFinding(t, Check(t.Context(), Options{DatabaseURL: testenv.PgBouncer(t, testenv.Postgres(t), "transaction")}), Problem, "pooler")
}

func TestADatabaseWithoutTLSIsFound(t *testing.T) {
	t.Parallel()
	url, _, _ := strings.Cut(testenv.PgBouncer(t, testenv.Postgres(t), "session"), "?sslmode=disable")
	list := Check(t.Context(), Options{DatabaseURL: url})
	requireFinding(t, list, Problem, "PostgreSQL has no TLS")
	require.True(t, slices.ContainsFunc(list, func(f Finding) bool { return strings.Contains(f.Mend, "?sslmode=disable") }))
}

func TestMissingPartitionsAreFound(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	db, err := sql.Open("postgres", url)
	require.NoError(t, err)
	defer db.Close()
	requireFinding(t, Check(t.Context(), Options{DatabaseURL: url}), Warning, "no partitions")
	today := time.Now().UTC().Truncate(24 * time.Hour)
	for _, test := range []struct {
		days  int
		level Level
		text  string
	}{{-1, Problem, "nothing of today can be recorded"}, {0, Warning, "no partitions for tomorrow"}, {1, OK, "partitions up to"}} {
		day := today.AddDate(0, 0, test.days)
		_, err := db.ExecContext(t.Context(), "CREATE TABLE deliveries_"+day.Format("20060102")+" PARTITION OF deliveries FOR VALUES FROM ('"+
			day.Format(time.DateOnly)+"') TO ('"+day.AddDate(0, 0, 1).Format(time.DateOnly)+"')")
		require.NoError(t, err)
		requireFinding(t, Check(t.Context(), Options{DatabaseURL: url}), test.level, test.text)
	}
}

func TestAUserOfNATSThatMayDoTooMuchIsFound(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, config string
		level        Level
		text         string
	}{
		{"no accounts", `authorization {users: [{user: whisperer, password: p}]}`, Warning, "NATS has no accounts"},
		{"may do everything", `accounts {W {jetstream: enabled, users: [{user: whisperer, password: p}]}}`, Warning, "may do everything in account W"},
		{"everything by name", `accounts {W {jetstream: enabled, users: [{user: whisperer, password: p, permissions: {publish: ">"}}]}}`, Warning, "may do everything"},
		{"narrow", `accounts {W {jetstream: enabled, users: [{user: whisperer, password: p, permissions: {publish: {allow: ["$JS.API.>", "$SYS.REQ.USER.INFO"]}}}]}}`, OK, "no more than they need"},
		{"too narrow to ask", `accounts {W {jetstream: enabled, users: [{user: whisperer, password: p, permissions: {publish: {allow: ["$JS.API.>"]}}}]}}`, OK, "no more than they need"},
	} {
		url := testenv.NATSWith(t, test.config)
		b, err := bus.Connect(t.Context(), bus.Options{URL: url, Name: "test", Credentials: bus.Credentials{User: "whisperer", Password: "p"}, Log: zap.NewNop()})
		require.NoError(t, err)
		var list []Finding
		access(t.Context(), report{area: "nats", list: &list}, b, Options{NATSURL: "nats://nats:4222"})
		b.Close()
		requireFinding(t, list, test.level, test.text)
	}
	require.True(t, loopback("nats://127.0.0.1:4222, nats://localhost:4223"))
	require.False(t, loopback("nats://127.0.0.1:4222,nats://nats:4222"))
}

func TestProgramsOfAnotherVersionAreFound(t *testing.T) {
	t.Parallel()
	names := `{"name":"delivery-worker host-7 v2"},{"name":"whisperer-doctor"},{"name":""}`
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"connections":[` + names + `]}`))
	}))
	defer node.Close()
	look := func() (list []Finding) {
		versions(t.Context(), report{list: &list}, Options{NATSMonitoring: node.URL, Version: "v2"})
		return list
	}
	requireFinding(t, look(), OK, "version v2")
	names += `,{"name":"subscription-api v1"},{"name":"delivery-worker host-9 v1"}`
	requireFinding(t, look(), Warning, "of version v1, and this one is of v2: delivery-worker, subscription-api")
}

func TestAContainerThatDoesNotKnowItsMachineIsFound(t *testing.T) {
	t.Parallel()
	gateway := func(context.Context, string, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("172.17.0.1")}, nil
	}
	nobody := func(context.Context, string, string) ([]netip.Addr, error) {
		return nil, &net.DNSError{IsNotFound: true}
	}
	for _, test := range []struct {
		allow  string
		lookup func(context.Context, string, string) ([]netip.Addr, error)
		level  Level
		text   string
	}{
		{"", nobody, Warning, "has no address in this container"},
		{"", gateway, OK, "may not go to this container's machine .*172.17.0.1"},
		{"172.17.0.0/16", gateway, OK, "are reached as http://host.docker.internal:PORT/"},
	} {
		policy, err := egress.ParsePolicy(test.allow, "80")
		require.NoError(t, err)
		var list []Finding
		thisMachine(t.Context(), report{list: &list}, policy, test.lookup)
		requireFinding(t, list, test.level, test.text)
	}
}

func TestNamesThatAreNotFoundAndPlacesThatAreNotReachedAreFound(t *testing.T) {
	t.Parallel()
	look := func(probe string) []Finding {
		return Check(t.Context(), Options{Probe: probe, EgressAllow: "127.0.0.1", EgressPorts: "80"})
	}
	requireFinding(t, look("http://there-is-no-such-name.invalid/"), Problem, "there-is-no-such-name.invalid")
	requireFinding(t, look("http://127.0.0.1:1/"), Problem, "127.0.0.1:1")
}

func TestAClockThatIsOffAndADiskThatIsFullAreFound(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, test := range []struct {
		off, disk int64
		level     Level
	}{{0, 10, OK}, {3, 75, Warning}, {-61, 95, Problem}} {
		var list []Finding
		skew(report{list: &list}, "NATS", now.Add(time.Duration(test.off)*time.Second), now, now)
		full(report{list: &list}, "disk", test.disk, 100, "make room")
		require.Len(t, list, 2)
		requireFinding(t, list[:1], test.level, "clock of NATS")
		requireFinding(t, list[1:], test.level, "disk: ")
	}
}
