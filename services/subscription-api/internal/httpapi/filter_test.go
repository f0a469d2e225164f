package httpapi_test

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFilterIsCheckedWhenItIsSaved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := `{"event_type":"order.created","target_url":"https://example.com/f","config":{"filter":"event.data.total > 100"}}`
	require.Equal(t, http.StatusCreated, w.call(t, http.MethodPost, hooks, good).status)
	bad := `{"event_type":"order.created","target_url":"https://example.com/g","config":{"filter":"event.tpye == \"x\""}}`
	a := w.call(t, http.MethodPost, hooks, bad)
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Contains(t, a.text, `"pointer":"/config/filter"`)
	require.Contains(t, a.text, "line 1, column")
}

func TestAFilterThatCostsTooMuchIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := func(target, filter string) string {
		return `{"event_type":"order.created","target_url":"https://example.com/` + target + `","config":{"f\u0069lter":"` + filter + `"}}`
	}
	a := w.call(t, http.MethodPost, hooks, body("three", "event.data.i.all(a, event.data.i.all(b, event.data.i.all(c, a == b && b == c)))"))
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Contains(t, a.text, `"pointer":"/config/filter"`)
	require.Contains(t, a.text, "costs up to 27060603 units")
	require.Contains(t, a.text, "limit is 500000")
	// each filter is acceptable alone, but there are too many of them
	two := "event.data.i.all(a, event.data.i.all(b, a + b >= 0))"
	var last string
	for n := range 30 {
		a = w.call(t, http.MethodPost, hooks, body("two/"+strconv.Itoa(n), two))
		if a.status != http.StatusCreated {
			break
		}
		last = a.header.Get("Location")
	}
	require.Equal(t, http.StatusUnprocessableEntity, a.status, a.text)
	require.Contains(t, a.text, `"pointer":"/config/filter"`)
	require.Contains(t, a.text, "costs up to 260603 units")
	require.Contains(t, a.text, "limit of 5000000")
	// existing hooks can be changed, and given a filter that costs no more
	require.Equal(t, http.StatusOK, w.call(t, http.MethodPatch, last, `{"name":"x"}`).status)
	require.Equal(t, http.StatusOK, w.call(t, http.MethodPatch, last, `{"config":{"timeout":5,"filter":"`+two+`"}}`).status)
	require.Equal(t, http.StatusOK, w.call(t, http.MethodPatch, last, `{"config":{"filter":"event.data.i.all(b, event.data.i.all(a, a + b >= 0))"}}`).status)
	require.Equal(t, http.StatusCreated, w.call(t, http.MethodPost, hooks, body("cheap", "event.data.a == 1")).status, "as long as there is room")
}
