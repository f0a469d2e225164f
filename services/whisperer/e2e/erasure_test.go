package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/natsd"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// whoever is a person in payloads that are to be erased, and in receivers' answers to them.
const whoever = "canary-4711-jane-doe"

// erasing is a system whose database and files the test reads.
type erasing struct {
	*system

	database, files string
	nats            string
	server, worker  *program
	paused          uuid.UUID
	published       int
}

func newErasing(t *testing.T) *erasing {
	t.Helper()
	e := &erasing{database: testenv.Postgres(t), files: t.TempDir()}
	server, err := natsd.Start(t.Context(), natsd.Options{StoreDir: e.files, Port: natsd.RandomPort, MaxStore: 8 << 30})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Shutdown(context.Background())) })
	e.nats = server.ClientURL()
	e.system = newSystemOn(t, e.database, e.nats)
	e.server = e.system.server
	e.receiver.React(func(q testenv.Received) testenv.Answer {
		a := testenv.Answer{Header: http.Header{"X-Echo": {whoever}}, Body: whoever}
		if q.Path == "/fails" {
			a.Status = http.StatusServiceUnavailable
		}
		return a
	})
	hook := func(path, more string) string {
		return e.hook(fmt.Sprintf(`{"event_type":"order.created","target_url":"%s/%s","retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":3600}}%s}`, e.receiver.URL, path, more))
	}
	hook("ok", fmt.Sprintf(`,"callback":{"url":"%s/told"}`, e.receiver.URL))
	hook("fails", "")
	e.paused = uuid.MustParse(hook("paused", `,"status":"paused"`))
	return e
}

// publish publishes n events about this person, each twice.
func (e *erasing) publish(n int) {
	e.t.Helper()
	list := make([]bus.Outgoing, 0, 2*n)
	for range n {
		e.published++
		body := fmt.Appendf(nil, `{"event_id":"e-%d","entity":"customer:61","data":{"name":"%s"}}`, e.published, whoever)
		list = append(list, bus.Outgoing{Tenant: webhook.DefaultTenant, Type: "order.created", Body: body})
	}
	require.NoError(e.t, e.bus.PublishEvents(e.t.Context(), append(list, list...)))
}

// setAside sets n events about this person aside.
func (e *erasing) setAside(n int) {
	e.t.Helper()
	e.publish(n)
	// It gives up its messages when it is closed.
	b, err := bus.Connect(e.t.Context(), bus.Options{URL: e.nats, Name: "test", Log: zap.NewNop()})
	require.NoError(e.t, err)
	defer b.Close()
	testenv.SetAside(e.t, b, bus.EventRecorder, bus.AsideEvents, 2*n)
}

func (e *erasing) cli(args ...string) string {
	e.t.Helper()
	cmd := exec.CommandContext(e.t.Context(), filepath.Join(binaries, "whisperer"), args...)
	cmd.Env = append(os.Environ(), "WHISPERER_URL="+e.api, "WHISPERER_TOKEN="+e.token)
	var problem strings.Builder
	cmd.Stderr = &problem
	out, err := cmd.Output()
	require.NoError(e.t, err, problem.String())
	return string(out)
}

func (e *erasing) kill(p *program) {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

func (e *erasing) restartAPI() {
	e.server = e.start("subscription-api", "WHISPERER_LISTEN="+strings.TrimPrefix(e.api, "http://"))
}

func (e *erasing) get(id uuid.UUID) store.Erasure {
	e.t.Helper()
	got, err := e.db.Erasures.Get(e.t.Context(), webhook.DefaultTenant, id)
	require.NoError(e.t, err)
	return got
}

// TestAnErasureSurvivesTheProgramsThatDoIt kills API and worker repeatedly during an erasure. Some of the events are
// delivered, waiting, parked, repeated, set aside, or not yet recorded when it begins.
func TestAnErasureSurvivesTheProgramsThatDoIt(t *testing.T) {
	t.Parallel()
	for name, of := range map[string][]string{
		"by entity": {"--entity", "customer:61"},
		"by path":   {"--path", `$ ? (@.name == "` + whoever + `")`, "--since", "1h"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newErasing(t)
			e.setAside(3)
			e.worker = e.start("delivery-worker", "WHISPERER_BREAKER_ATTEMPTS=100000")
			e.publish(510)
			require.Eventually(t, func() bool {
				counted, err := e.db.Queue.Count(t.Context(), 10_000)
				return err == nil && counted.N == e.published
			}, 2*time.Minute, 50*time.Millisecond, "all deliveries to the hook that is paused are parked")
			e.kill(e.worker)
			e.publish(50) // these are not recorded

			var begun api.Erasure
			require.NoError(t, json.Unmarshal([]byte(e.cli(append([]string{"erase", "--reason", "request 4711", "--yes", "--detach", "--json"}, of...)...)), &begun))
			e.kill(e.server)
			e.worker = e.start("delivery-worker", "WHISPERER_BREAKER_ATTEMPTS=100000")
			e.restartAPI()
			require.Eventually(t, func() bool { return e.pending(*begun.ID) > 0 || e.get(*begun.ID).Done > 0 }, 2*time.Minute, 10*time.Millisecond)
			e.kill(e.server) // some are marked
			e.kill(e.worker)
			e.worker = e.start("delivery-worker", "WHISPERER_BREAKER_ATTEMPTS=100000")
			e.restartAPI()
			require.Eventually(t, func() bool { return e.get(*begun.ID).Done > 0 }, 2*time.Minute, 10*time.Millisecond)
			e.kill(e.worker) // some are erased
			e.kill(e.server)
			e.restartAPI()
			e.worker = e.start("delivery-worker", "WHISPERER_BREAKER_ATTEMPTS=100000")

			e.cli("erasure", "watch", begun.ID.String())
			var left []string
			defer func() { t.Log("left in", left) }()
			require.Eventually(t, func() bool {
				left = append(testenv.TablesWith(t, e.database, whoever), testenv.FilesWith(t, e.files, whoever)...)
				return len(left) == 0
			}, 2*time.Minute, 500*time.Millisecond)
			e.checkErased(*begun.ID)
		})
	}
}

// pending counts the events that are marked but not erased yet.
func (e *erasing) pending(id uuid.UUID) int {
	list, err := e.db.Erasures.Pending(e.t.Context(), &id)
	require.NoError(e.t, err)
	return len(list)
}

// checkErased verifies the certificate with the published keys, and checks that an erased event is recorded but not
// sent.
func (e *erasing) checkErased(id uuid.UUID) {
	e.t.Helper()
	dir := e.t.TempDir()
	certificate, keys := filepath.Join(dir, "certificate.json"), filepath.Join(dir, "keys.json")
	require.NoError(e.t, os.WriteFile(certificate, []byte(e.cli("erasure", "certificate", id.String())), 0o600))
	_, set := ask(e.t, http.MethodGet, e.api+"/.well-known/whisperer/default/jwks.json", e.token, "")
	require.NoError(e.t, os.WriteFile(keys, []byte(set[strings.IndexByte(set, '\n')+1:]), 0o600))
	require.Contains(e.t, e.cli("erasure", "verify", certificate, "--jwks", keys), "signed by the key")
	require.Contains(e.t, e.cli("erasure", "verify", certificate), "This key is from the certificate itself")

	erased := e.get(id)
	e.t.Log(erased.Done, erased.Places)
	require.GreaterOrEqual(e.t, erased.Done, int64(e.published))
	require.EqualValues(e.t, 0, erased.Places["oms_kept"])
	before := len(e.receiver.Got("/paused"))
	_, err := e.db.Hooks.Update(e.t.Context(), "test", webhook.DefaultTenant, e.paused, nil, func(h *webhook.Hook) error {
		h.Status = webhook.Active
		return nil
	})
	require.NoError(e.t, err)
	require.NoError(e.t, e.system.publish(e.t.Context(), `{"event_id":"after","data":{}}`))
	e.receiver.Await(e.t, "/paused", before+1)
	require.Len(e.t, e.receiver.Got("/paused"), 1, "only the event after")
	require.Zero(e.t, before)
}
