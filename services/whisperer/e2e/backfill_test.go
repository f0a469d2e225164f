package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestAJobOutlivesTheAPIThatWorksOnIt(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	const n = 1000 // the job takes ten seconds for these
	events := make([]webhook.Event, n)
	for i := range events {
		at := time.Now().Add(-2 * time.Hour).Add(time.Duration(i) * time.Millisecond).UTC().Truncate(time.Microsecond)
		events[i] = webhook.Event{
			ID: fmt.Sprintf("e-%03d", i), Tenant: webhook.DefaultTenant, Type: "order.created", Time: at, PublishedAt: at, Seq: webhook.Sequence(i + 1),
			Data: json.RawMessage(`{"id":1}`),
		}
	}
	recorder := s.db.Ledger.NewRecorder()
	require.NoError(t, recorder.WriteEvents(t.Context(), events))
	recorder.Close()
	s.start("delivery-worker", "WHISPERER_WORKER=one")
	hook := s.hook(fmt.Sprintf(`{"event_type":"order.*","target_url":%q,"secret_key":%q,"config":{"start_from":"PT3H"}}`,
		s.receiver.URL+"/a", secret))

	job := func() store.Job {
		list, _, err := s.db.Jobs.List(t.Context(), webhook.DefaultTenant, uuid.MustParse(hook), store.Page{Limit: 10})
		require.NoError(t, err)
		require.Len(t, list, 1)
		return list[0]
	}
	require.Eventually(t, func() bool { return job().Done > 0 }, 2*time.Minute, time.Millisecond)
	s.server.signal(syscall.SIGKILL)
	<-s.server.ended
	require.Less(t, job().Done, n, "it was killed on the way")
	_, err := http.Get(s.api + "/whisperer/openapi.json") //nolint:noctx,bodyclose // it is gone
	require.Error(t, err)

	s.start("subscription-api", "WHISPERER_LISTEN=127.0.0.1:0")
	require.Eventually(t, func() bool { return len(s.receiver.All()) >= n }, 2*time.Minute, 20*time.Millisecond)
	seen := map[string]bool{}
	for _, q := range s.receiver.All() {
		requireSigned(t, q)
		seen[eventID(q)] = true
	}
	require.Len(t, seen, n)
	require.Equal(t, n, job().Done)
	require.Equal(t, n, job().Total)
	require.Len(t, s.receiver.All(), n, "each once")
}
