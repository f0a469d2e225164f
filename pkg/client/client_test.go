package client_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// What the API itself answers is tested against the API, by the CLI's tests; these are the answers it gives rarely.

func serve(t *testing.T, h http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := client.New(client.Options{URL: server.URL + "/", Token: "wsp_x", Tenant: "acme", UserAgent: "test"})
	require.NoError(t, err)
	return c
}

func TestNewRefusesWhatIsNoURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "127.0.0.1:8080", "ftp://example.com", "http://", "://"} {
		_, err := client.New(client.Options{URL: url})
		require.Error(t, err, url)
	}
}

func TestCallsCarryTokenAndTenant(t *testing.T) {
	t.Parallel()
	var got http.Header
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		w.WriteHeader(http.StatusNoContent)
	})
	require.NoError(t, c.Hooks.Delete(t.Context(), uuid.New()))
	require.Equal(t, "Token wsp_x", got.Get("Authorization"))
	require.Equal(t, "acme", got.Get("X-Whisperer-Tenant"))
	require.Equal(t, "test", got.Get("User-Agent"))
}

func TestChangesSendOnlyWhatIsSet(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	var got *http.Request
	var body []byte
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		_, _ = w.Write([]byte(`{"version":4}`))
	})
	h, err := c.Hooks.Update(t.Context(), id, 3, client.HookFields{
		Name: client.Set(""), SecretKey: client.Null[string](), Config: client.Set(json.RawMessage(`{"b":1,"a":2.50}`)),
	})
	require.NoError(t, err)
	require.EqualValues(t, 4, h.Version)
	require.JSONEq(t, `{"secret_key":null,"config":{"b":1,"a":2.50},"name":""}`, string(body))
	require.Equal(t, "PATCH /whisperer/hooks/"+id.String()+"/", got.Method+" "+got.URL.Path)
	require.Equal(t, `"3"`, got.Header.Get("If-Match"))
}

func TestListsFollowPagesOnTheSameServer(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("cursor") == "2" {
			_, _ = w.Write([]byte(`{"next":null,"results":[{"name":"b"}]}`))
			return
		}
		if r.URL.Query().Get("status") != "paused" {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write([]byte(`{"next":"http://elsewhere.example/whisperer/hooks/?cursor=2","results":[{"name":"a"}]}`))
	})
	var names []string
	for h, err := range c.Hooks.List(t.Context(), client.HookFilter{Status: webhook.Paused}) {
		require.NoError(t, err)
		names = append(names, h.Name)
	}
	require.Equal(t, []string{"a", "b"}, names)
}

func TestProblemsTellTheirKind(t *testing.T) {
	t.Parallel()
	for status, kind := range map[int]error{
		400: webhook.ErrInvalid, 422: webhook.ErrInvalid, 401: client.ErrRefused, 403: client.ErrRefused,
		404: webhook.ErrNotFound, 409: webhook.ErrConflict, 412: webhook.ErrVersion, 429: client.ErrUnavailable,
		502: client.ErrUnavailable, 503: client.ErrUnavailable,
	} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"title":"No","detail":"because","status":1,"errors":[{"pointer":"/a","detail":"is bad"}]}`))
		})
		_, err := c.Hooks.Get(t.Context(), uuid.New())
		require.ErrorIs(t, err, kind)
		var p *client.ProblemError
		require.ErrorAs(t, err, &p)
		require.Equal(t, status, p.Status)
		require.Equal(t, "3s", p.RetryAfter.String())
		require.Contains(t, err.Error(), "no: because; /a is bad")
	}
}

func TestAnswersThatAreNoProblemBecomeOne(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte(`<html>proxy</html>`))
	})
	_, err := c.Hooks.Get(t.Context(), uuid.New())
	require.EqualError(t, err, "502 bad gateway")
}

func TestNobodyThereIsUnavailable(t *testing.T) {
	t.Parallel()
	c, err := client.New(client.Options{URL: "http://127.0.0.1:1"})
	require.NoError(t, err)
	_, err = c.Hooks.Get(t.Context(), uuid.New())
	require.ErrorIs(t, err, client.ErrUnavailable)
}

func TestFieldsReadWhatTheyWrite(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{}`, `{"secret_key":null}`, `{"secret_key":"s","event_types":["a"],"is_active":false}`,
		`{"retry_countdown_config":null,"config":{"z":1}}`,
	} {
		var f client.HookFields
		require.NoError(t, json.Unmarshal([]byte(text), &f))
		again, err := json.Marshal(f)
		require.NoError(t, err)
		require.JSONEq(t, text, string(again))
	}
}
