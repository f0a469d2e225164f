package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

func newHealth(t *testing.T) *daemon.Health {
	t.Helper()
	h, err := daemon.NewHealth(t.Context(), "127.0.0.1:0", daemon.NewRegistry("v1.2.3"))
	require.NoError(t, err)
	return h
}

// runWith runs the components, calls do when all are ready, and stops.
func runWith(t *testing.T, do func(), components ...daemon.Component) {
	t.Helper()
	stop, err := daemon.Start(t.Context(), zap.NewNop(), components...)
	require.NoError(t, err)
	do()
	require.NoError(t, stop())
}

func get(t *testing.T, h *daemon.Health, path string) (status int, body string) {
	t.Helper()
	status, body, err := ask(t.Context(), h, path)
	require.NoError(t, err)
	return status, body
}

func ask(ctx context.Context, h *daemon.Health, path string) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.Addr()+path, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	request.Close = true // so that the leak check finds no idle connection
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

func TestHealthAnswers(t *testing.T) {
	t.Parallel()
	h := newHealth(t)
	h.AddCheck("postgres", func(context.Context) error { return nil })
	runWith(t, func() {
		status, body := get(t, h, "/healthz")
		require.Equal(t, http.StatusOK, status, body)

		status, body = get(t, h, "/readyz")
		require.Equal(t, http.StatusOK, status)
		require.JSONEq(t, `{"ready":true,"checks":{"postgres":{"ok":true}}}`, body)

		status, body = get(t, h, "/metrics")
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, body, `version="v1.2.3"} 1`)
		require.Contains(t, body, "go_goroutines")

		status, _ = get(t, h, "/")
		require.Equal(t, http.StatusNotFound, status)
	}, h.Server(), h.Gate())
}

func TestReadinessTellsEveryReason(t *testing.T) {
	t.Parallel()
	h := newHealth(t)
	h.AddCheck("postgres", func(context.Context) error { return nil })
	h.AddCheck("nats", func(context.Context) error { return errors.New("not connected") })
	h.AddCheck("slow", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	runWith(t, func() {
		status, body := get(t, h, "/readyz")
		require.Equal(t, http.StatusServiceUnavailable, status)
		require.JSONEq(t, `{"ready":false,"checks":{
			"postgres":{"ok":true},
			"nats":{"ok":false,"reason":"not connected"},
			"slow":{"ok":false,"reason":"context deadline exceeded"}}}`, body)
		status, _ = get(t, h, "/healthz")
		require.Equal(t, http.StatusOK, status, "a program that waits for another one is alive")
	}, h.Server(), h.Gate())
}

func TestReadinessFollowsStartAndStop(t *testing.T) {
	t.Parallel()
	h := newHealth(t)
	var answers []string
	note := func(ctx context.Context) error {
		status, body, err := ask(ctx, h, "/readyz")
		answers = append(answers, fmt.Sprint(status, " ", body))
		return err
	}
	between := daemon.Component{Name: "between", Run: func(ctx context.Context, ready func()) error {
		if err := note(ctx); err != nil {
			return err
		}
		ready()
		<-ctx.Done()
		return note(context.WithoutCancel(ctx))
	}}
	runWith(t, func() {
		status, _ := get(t, h, "/readyz")
		require.Equal(t, http.StatusOK, status)
	}, h.Server(), between, h.Gate())
	require.Equal(t, []string{
		`503 {"ready":false,"reason":"starting","checks":{}}` + "\n",
		`503 {"ready":false,"reason":"stopping","checks":{}}` + "\n",
	}, answers)
}

func TestNewHealthNeedsItsPort(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, err = daemon.NewHealth(t.Context(), taken.Addr().String(), daemon.NewRegistry("v"))
	require.ErrorContains(t, err, "address already in use")
}

func TestProbe(t *testing.T) {
	t.Parallel()
	h := newHealth(t)
	_, port, err := net.SplitHostPort(h.Addr())
	require.NoError(t, err)
	broken := errors.New("not connected")
	h.AddCheck("nats", func(context.Context) error { return broken })
	runWith(t, func() {
		require.ErrorContains(t, daemon.Probe(t.Context(), h.Addr()), "not connected")
		broken = nil
		require.NoError(t, daemon.Probe(t.Context(), h.Addr()))
		require.NoError(t, daemon.Probe(t.Context(), ":"+port), "an address to listen on everywhere is asked here")
		require.NoError(t, daemon.Probe(t.Context(), "0.0.0.0:"+port))
	}, h.Server(), h.Gate())
	require.Error(t, daemon.Probe(t.Context(), h.Addr()), "nobody answers")
	require.Error(t, daemon.Probe(t.Context(), "no-port"))
}
