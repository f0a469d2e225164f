package httpapi_test

import (
	"errors"
	"net/http"
	"strconv"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/aside"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/httpapi"
)

const setAside = "/whisperer/ledger/set-aside/"

// asideWorld returns a world with n events that are set aside, e-1 as number 1 and so on.
func asideWorld(t *testing.T, n int) *world {
	t.Helper()
	w := newWorld(t)
	b, err := w.bus()
	require.NoError(t, err)
	testenv.SetEventsAside(t, b, n)
	return w
}

// numbers returns the numbers of a list's results.
func numbers(t *testing.T, a *answer) []int {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, a.text)
	list, ok := a.json["results"].([]any)
	require.True(t, ok, a.text)
	found := make([]int, len(list))
	for i, one := range list {
		n, ok := one.(map[string]any)["number"].(float64)
		require.True(t, ok, a.text)
		found[i] = int(n)
	}
	return found
}

func TestWhatIsSetAsideIsListedInPagesAndPutBack(t *testing.T) {
	t.Parallel()
	w := asideWorld(t, 5)
	a := w.call(t, http.MethodGet, setAside+"?limit=2", "")
	require.Equal(t, []int{1, 2}, numbers(t, a))
	first, ok := a.json["results"].([]any)[0].(map[string]any)
	require.True(t, ok)
	require.Equal(t, "events", first["what"])
	require.Equal(t, "oms.default.order.created", first["subject"])
	require.Contains(t, first["reason"], "events_tenant_check")
	next, ok := a.json["next"].(string)
	require.True(t, ok)
	a = w.call(t, http.MethodGet, next, "")
	require.Equal(t, []int{3, 4}, numbers(t, a))
	next, ok = a.json["next"].(string)
	require.True(t, ok)
	a = w.call(t, http.MethodGet, next, "")
	require.Equal(t, []int{5}, numbers(t, a))
	require.Nil(t, a.json["next"])

	a = w.call(t, http.MethodPost, setAside+"put-back/", `{"numbers":[2,9]}`)
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.JSONEq(t, `{"put_back":1,"stay":1,"more":false,"kept":[{"number":9,"detail":"no message with this number is set aside: 9"}]}`, a.text)
	require.Equal(t, []int{1, 3, 4, 5}, numbers(t, w.call(t, http.MethodGet, setAside, "")))
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, "/whisperer/events/e-2/", "").status, "it is in the ledger")

	a = w.call(t, http.MethodPost, setAside+"put-back/", `{"all":true}`)
	require.JSONEq(t, `{"put_back":4,"stay":0,"more":false,"kept":[]}`, a.text)
	require.Empty(t, numbers(t, w.call(t, http.MethodGet, setAside, "")))
	for i := range 5 {
		require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, "/whisperer/events/e-"+strconv.Itoa(i+1)+"/", "").status)
	}

	a = w.call(t, http.MethodGet, "/whisperer/audit/?kind=ledger_entry", "")
	list, ok := a.json["results"].([]any)
	require.True(t, ok, a.text)
	require.Len(t, list, 5)
	entry, ok := list[4].(map[string]any)
	require.True(t, ok)
	require.Equal(t, "ledger_entry.put_back", entry["action"])
	require.Equal(t, "2", entry["subject"])
	require.Contains(t, entry["actor"], "token ")
}

func TestWrongWishesToPutBackAreNamed(t *testing.T) {
	t.Parallel()
	w := asideWorld(t, 1)
	for body, pointer := range map[string]string{
		`{}`:                         "/numbers",
		`{"all":false}`:              "/numbers",
		`{"all":true,"numbers":[1]}`: "/numbers",
		`{"numbers":[]}`:             "/numbers",
		`{"numbers":[-1]}`:           "/numbers",
		`{"numbers":["1"]}`:          "/numbers",
		`{"numbers":1}`:              "/numbers",
		`{"numbers":null}`:           "/numbers",
		`{"all":"yes"}`:              "/all",
		`{"al":true}`:                "/al",
	} {
		a := w.call(t, http.MethodPost, setAside+"put-back/", body)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, "%s: %s", body, a.text)
		require.Contains(t, a.pointers(), pointer, body)
	}
	for _, query := range []string{"?after=x", "?after=-1", "?limit=0", "?befor=1"} {
		require.Equal(t, http.StatusBadRequest, w.call(t, http.MethodGet, setAside+query, "").status, query)
	}
	require.Equal(t, []int{1}, numbers(t, w.call(t, http.MethodGet, setAside, "")))
}

// Tokens of a tenant can neither see entries, which belong to all tenants, nor put them back. Operators who are
// viewers can only see them.
func TestOnlyOperatorsMaySeeWhatIsSetAside(t *testing.T) {
	t.Parallel()
	w := asideWorld(t, 1)
	tenants := token(w.db.MakeToken(t, store.NewToken{Name: "t", Tenant: "default", Role: store.Admin}))
	editor := token(w.db.MakeToken(t, store.NewToken{Name: "o", Role: store.Editor}))
	for _, c := range []struct {
		method, path string
		who          with
		status       int
	}{
		{http.MethodGet, setAside, tenants, http.StatusForbidden},
		{http.MethodPost, setAside + "put-back/", tenants, http.StatusForbidden},
		{http.MethodGet, setAside, editor, http.StatusOK},
		{http.MethodPost, setAside + "put-back/", editor, http.StatusForbidden},
	} {
		body := ""
		if c.method == http.MethodPost {
			body = `{"all":true}`
		}
		require.Equal(t, c.status, w.call(t, c.method, c.path, body, c.who).status, "%s %s", c.method, c.path)
	}
	require.Equal(t, []int{1}, numbers(t, w.call(t, http.MethodGet, setAside, "")))
}

func TestWithoutNATSWhatIsSetAsideCannotBeReached(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) {
		d.Cases.Aside = aside.NewDesk(func() (*bus.Bus, error) { return nil, errors.New("no nats " + uuid.NewString()) }, testenv.OpenStore(t).DB, zap.NewNop())
	})
	for _, a := range []*answer{w.call(t, http.MethodGet, setAside, ""), w.call(t, http.MethodPost, setAside+"put-back/", `{"all":true}`)} {
		require.Equal(t, http.StatusServiceUnavailable, a.status)
		require.Contains(t, a.text, "still set aside")
		require.NotEmpty(t, a.header.Get("Retry-After"))
	}
}
