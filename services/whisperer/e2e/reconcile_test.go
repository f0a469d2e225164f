package e2e_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// A receiver keeps what it gets in its own table and loses some of it. Exactly that is sent again.
func TestAReceiversDatabaseIsReconciledWithWhatWasSent(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.start("delivery-worker")
	hook := s.hook(`{"name":"shop","event_type":"order.*","target_url":"` + s.receiver.URL + `/shop","secret_key":"` + secret + `"}`)
	s.awaitRecorded(hook, s.load(40), 1)

	database := testenv.EmptyPostgres(t)
	inbox := testenv.Plain(t, database)
	_, err := inbox.ExecContext(t.Context(), `CREATE TABLE inbox (n bigserial PRIMARY KEY, webhook_id text, body bytea, came timestamptz DEFAULT now())`)
	require.NoError(t, err)
	keep := func(got []testenv.Received) {
		for _, q := range got {
			_, err := inbox.ExecContext(t.Context(), `INSERT INTO inbox (webhook_id, body) VALUES ($1, $2)`, q.Header.Get(signature.HeaderID), []byte(q.Body))
			require.NoError(t, err)
		}
	}
	all := s.receiver.Await(t, "/shop", 40)
	keep(all[:37])
	keep(all[:1])
	_, err = inbox.ExecContext(t.Context(), `UPDATE inbox SET body = body || ' ' WHERE n = 5`)
	require.NoError(t, err)

	type answer struct {
		Lacking    int `json:"lacking"`
		Twice      int `json:"twice"`
		OtherBytes int `json:"other_bytes"`
		Replayed   int `json:"replayed"`
	}
	compare := func(code int, more ...string) (a answer) {
		args := append([]string{"reconcile", "--hook", "shop", "--inbox", database, "--table", "inbox", "--body-column", "body", "--secret", secret, "--until", "0s", "--json"}, more...)
		cmd := exec.CommandContext(t.Context(), filepath.Join(binaries, "whisperer"), args...)
		cmd.Env = append(os.Environ(), "WHISPERER_URL="+s.api, "WHISPERER_TOKEN="+s.token)
		out, err := cmd.Output()
		if exit, failed := errors.AsType[*exec.ExitError](err); failed {
			require.Equal(t, code, exit.ExitCode(), "%s", exit.Stderr)
		} else {
			require.NoError(t, err)
			require.Zero(t, code, "%s", out)
		}
		require.NoError(t, json.Unmarshal(out, &a), "%s", out)
		return a
	}
	require.Equal(t, answer{Lacking: 3, Twice: 1, OtherBytes: 1}, compare(7))
	require.Equal(t, answer{Lacking: 3, Twice: 1, OtherBytes: 1, Replayed: 4}, compare(0, "--replay", "--yes"))
	again := s.receiver.Await(t, "/shop", 44)[40:]
	ids := map[string]bool{}
	for _, q := range again {
		ids[q.Header.Get(signature.HeaderID)] = true
	}
	for _, q := range append(all[37:40:40], all[4]) {
		require.True(t, ids[q.Header.Get(signature.HeaderID)], "it is sent again")
	}
	require.Len(t, ids, 4, "and nothing else")

	_, err = inbox.ExecContext(t.Context(), `DELETE FROM inbox WHERE n IN (5, 38)`)
	require.NoError(t, err)
	keep(again)
	require.Eventually(t, func() bool { // the attempts are recorded soon
		stats, err := s.db.History.HookStats(t.Context(), webhook.DefaultTenant, uuid.MustParse(hook), time.Now())
		return err == nil && stats.Day[webhook.Delivered] == 40
	}, 2*time.Minute, 20*time.Millisecond)
	require.Zero(t, compare(0))
}
