package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// TestTheTryOutReachesLocalhostWhicheverAddressComesFirst runs standalone with different hosts files, in a mount
// namespace, which root can create on Linux. Other users test with their machine's hosts file.
func TestTheTryOutReachesLocalhostWhicheverAddressComesFirst(t *testing.T) {
	t.Parallel()
	for name, hosts := range map[string]string{
		"::1 first":       "::1 localhost ip6-localhost\n127.0.0.1 localhost\n",
		"127.0.0.1 first": "127.0.0.1 localhost\n::1 localhost\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var urls []string
			for _, address := range []string{"127.0.0.1:0", "[::1]:0"} { // a receiver listens on one of them
				l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
				require.NoError(t, err)
				s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
				require.NoError(t, s.Listener.Close())
				s.Listener = l
				s.Start()
				t.Cleanup(s.Close)
				_, port, err := net.SplitHostPort(l.Addr().String())
				require.NoError(t, err)
				urls = append(urls, "http://localhost:"+port+"/")
			}
			api, token := tryOut(t, hosts)
			test := func(target string) (int, string) {
				return ask(t, http.MethodPost, api+"/whisperer/hooks/test/", token, fmt.Sprintf(`{"hook":{"event_type":"order.created","target_url":%q}}`, target))
			}
			for _, target := range urls {
				status, text := test(target)
				require.Equal(t, http.StatusOK, status, text)
				require.Contains(t, text, `"status":202`, target)
			}
			for _, elsewhere := range []string{"http://127.0.0.2/", "http://10.0.0.1/", "http://0.0.0.0/", "http://[::]/", "http://[::ffff:127.0.0.2]/", "http://[fe80::1]/", "http://169.254.169.254/"} {
				status, text := test(elsewhere)
				require.Equal(t, http.StatusUnprocessableEntity, status, "%s: %s", elsewhere, text)
			}
		})
	}
}

// tryOut runs standalone with a hosts file, and returns its API's address and token.
func tryOut(t *testing.T, hosts string) (api, token string) {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	command := []string{filepath.Join(binaries, "whisperer"), "standalone", "--data", data, "--any-port", "--no-demo", "--database-url", testenv.EmptyPostgres(t)}
	if runtime.GOOS == "linux" && os.Geteuid() == 0 {
		file := filepath.Join(t.TempDir(), "hosts")
		require.NoError(t, os.WriteFile(file, []byte(hosts), 0o644))
		command = append([]string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, file}, command...)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), command[0], command[1:]...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-ended
		if t.Failed() {
			t.Log(out.String())
		}
	})
	read := func(name string) string {
		text, _ := os.ReadFile(filepath.Join(data, name)) // it may not exist yet
		return strings.TrimSpace(string(text))
	}
	require.Eventually(t, func() bool {
		res, err := http.Get(read("url") + "/whisperer/openapi.json") //nolint:noctx // a test's question to a program of ours
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK && read("token") != ""
	}, 2*time.Minute, 50*time.Millisecond)
	return read("url"), read("token")
}
