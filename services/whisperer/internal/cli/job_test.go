package cli_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/whisperer/internal/cli"
)

// A replay only takes events that are at least a minute old, so this imitates the API with a job that progresses at
// once.
func replaying(t *testing.T, end string) string {
	t.Helper()
	const id = "01900000-0000-7000-8000-000000000001"
	var asked, begun atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := func(id, state string, done int) {
			fmt.Fprintf(w, `{"id":%s,"hook":"01900000-0000-7000-8000-000000000002","state":%q,"total":200,"done":%d,"rate":100,"states":["dead"],"owner":"token 01900000-0000-7000-8000-000000000003","owner_name":"Olga"}`, id, state, done)
		}
		switch {
		case strings.HasSuffix(r.URL.Path, "/replay/") && begun.Add(1) == 1:
			answer("null", "dry_run", 0)
		case strings.HasSuffix(r.URL.Path, "/replay/"):
			w.WriteHeader(http.StatusAccepted)
			answer(`"`+id+`"`, "running", 0)
		case asked.Add(1) == 1:
			answer(`"`+id+`"`, "running", 100)
		default:
			answer(`"`+id+`"`, end, 200)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func replay(t *testing.T, url, answer string, live bool, args ...string) (code int, out, complaints string) {
	t.Helper()
	var o, e bytes.Buffer
	code = cli.Run(t.Context(), cli.Program{
		Args: append([]string{"--url", url, "hook", "replay", "01900000-0000-7000-8000-000000000002", "--since", "1h"}, args...),
		In:   strings.NewReader(answer), Out: &o, Err: &e, Live: live,
	})
	return code, o.String(), e.String()
}

func TestReplayCountsAsksAndShowsItsProgress(t *testing.T) {
	t.Parallel()
	code, out, said := replay(t, replaying(t, "completed"), "y\n", false, "--reason", "mended")
	require.Zero(t, code, said)
	require.Equal(t, "Replay 200 deliveries, 100 a second? [y/N] ", said)
	require.Contains(t, out, "done         200 of 200\n")
	require.Contains(t, out, "owner        token Olga\n")
}

func TestReplayDrawsABarOnATerminal(t *testing.T) {
	t.Parallel()
	code, _, said := replay(t, replaying(t, "completed"), "", true, "--reason", "mended", "--yes")
	require.Zero(t, code, said)
	require.Contains(t, said, "\r\x1b[K"+strings.Repeat("█", 15)+strings.Repeat("░", 15)+"  50 %  100 of 200 deliveries")
	require.True(t, strings.HasSuffix(said, "completed\n"), said)
}

func TestReplayFailsWhereItsJobDoes(t *testing.T) {
	t.Parallel()
	code, _, said := replay(t, replaying(t, "cancelled"), "", false, "--reason", "mended", "--yes")
	require.Equal(t, 1, code)
	require.Contains(t, said, "is cancelled\n")
}

func TestReplayDoesNothingWithoutAYes(t *testing.T) {
	t.Parallel()
	code, out, said := replay(t, replaying(t, "completed"), "n\n", false, "--reason", "mended")
	require.Equal(t, 1, code)
	require.Empty(t, out)
	require.Contains(t, said, "nothing was done")
	code, out, _ = replay(t, replaying(t, "completed"), "y\n", false, "--reason", "mended", "--detach")
	require.Zero(t, code)
	require.Contains(t, out, "running")
}
