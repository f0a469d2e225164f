package httpapi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCharactersAreCharacters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := func(name string) string {
		return `{"event_type":"order.created","target_url":"http://example.com/","name":"` + name + `"}`
	}
	require.Equal(t, http.StatusUnprocessableEntity, w.call(t, http.MethodPost, hooks, hook(strings.Repeat("ü", 256))).status)
	w.create(t, hook(strings.Repeat("ü", 255)))
	a := w.call(t, http.MethodPost, registry, `{"name":"a.b","description":"`+strings.Repeat("ü", 1024)+`"}`)
	require.Equal(t, http.StatusCreated, a.status, a.text)
}

func TestTheDefaultPortMakesNoOtherHook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.create(t, `{"event_type":"order.created","target_url":"https://example.com:443/in"}`)
	require.Equal(t, "https://example.com/in", first["target_url"])
	for _, target := range []string{"https://example.com/in", "HTTPS://EXAMPLE.com:443/in"} {
		a := w.call(t, http.MethodPost, hooks, `{"event_type":"order-created","target_url":"`+target+`"}`)
		require.Equal(t, http.StatusConflict, a.status, "%s: %s", target, a.text)
	}
	w.create(t, `{"event_type":"order.created","target_url":"http://example.com/in"}`)
	a := w.call(t, http.MethodGet, hooks+"?target_url=https://example.com:443/in", "")
	require.Len(t, a.json["results"], 1)
}

func TestAClientThatLeavesIsNoFaultOfOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, hooks, nil)
	r.Header.Set("Authorization", "Token "+w.token)
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	require.Equal(t, 499, recorder.Code)
	require.Empty(t, w.logs.FilterMessage("request unavailable").All())
}
