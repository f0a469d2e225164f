package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/httpapi"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// record writes published messages to the ledger, as a worker does.
func record(t *testing.T, w *world, messages []envelope.Published) {
	t.Helper()
	var list []webhook.Event
	for _, m := range messages {
		e, err := envelope.Decode(m)
		require.NoError(t, err)
		list = append(list, e)
	}
	w.published(t, list...)
}

func TestAnIdempotencyKeyWithAnotherBodyIsRefused(t *testing.T) {
	t.Parallel()
	w, published := newBus(t)
	post := func(body, key string) *answer {
		return w.call(t, http.MethodPost, events, body, header("Idempotency-Key", key))
	}
	first := post(`{"event_type":"order.created","data":{"n":1}}`, "k")
	require.Equal(t, http.StatusAccepted, first.status, first.text)
	again := post("{ \"event_type\": \"order.created\",\n\t\"data\": {\"n\": 1} }", "k")
	require.Equal(t, http.StatusAccepted, again.status, again.text)
	require.Equal(t, first.json, again.json, "white space is no other body")
	for _, other := range []string{
		`{"event_type":"order.created","data":{"n":2}}`, `{"event_type":"order.created","data":{"n":1.0}}`,
		`[{"event_type":"order.created","data":{"n":1}}]`, `{"event_type":"order.created","data":{"n":1},"entity":"order:1"}`,
	} {
		a := post(other, "k")
		require.Equal(t, http.StatusUnprocessableEntity, a.status, a.text)
		require.Equal(t, []string{"Idempotency-Key"}, a.pointers())
	}
	require.Equal(t, http.StatusAccepted, post(`{"event_type":"order.created","data":{"n":2}}`, "k2").status)
	require.Len(t, published(), 2)
}

func TestAnIDThatIsThereWithAnotherBodyIsAConflict(t *testing.T) {
	t.Parallel()
	w, published := newBus(t)
	post := func(body string) *answer { return w.call(t, http.MethodPost, events, body) }
	require.Equal(t, http.StatusAccepted, post(`{"event_type":"order.created","event_id":"e 1","data":1}`).status)
	record(t, w, published())
	require.Equal(t, http.StatusAccepted, post(`{"event_id":"e 1", "event_type":"Order-Created","data":1}`).status, "the same event")
	before := len(published())
	a := post(`{"event_type":"order.created","event_id":"e 1","data":2}`)
	require.Equal(t, http.StatusConflict, a.status, a.text)
	require.Equal(t, []string{"/event_id"}, a.pointers())
	a = post(`[{"event_type":"order.created","event_id":"new","data":1},{"event_type":"order.cancelled","event_id":"e 1","data":1}]`)
	require.Equal(t, http.StatusConflict, a.status, a.text)
	require.Equal(t, []string{"/1/event_id"}, a.pointers())
	a = post(`{"events":[{"event_type":"order.created","event_id":"x","data":1},{"event_type":"order.created","event_id":"x","data":2}]}`)
	require.Equal(t, http.StatusConflict, a.status, a.text)
	require.Equal(t, []string{"/events/1/event_id"}, a.pointers())
	require.Len(t, published(), before, "nothing was published")
}

func TestWhatIsOddButJSONIsPublished(t *testing.T) {
	t.Parallel()
	w, published := newBus(t)
	for i, data := range []string{`{"note":"a\u0000b"}`, `{"a":1,"a":2}`, `"\ud800"`} {
		a := w.call(t, http.MethodPost, events, fmt.Sprintf(`{"event_type":"order.created","event_id":"e-%d","data":%s}`, i, data))
		require.Equal(t, http.StatusAccepted, a.status, a.text)
	}
	require.Len(t, published(), 3)
	record(t, w, published())
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, events+"e-0/", "").status)
	a := w.call(t, http.MethodPost, events, `{"event_type":"order.created","event_id":"1","event_id":"2","data":1}`)
	require.Equal(t, http.StatusUnprocessableEntity, a.status, a.text)
	require.Equal(t, []string{"/event_id"}, a.pointers())
	for _, body := range []string{`{`, `[1,]`, "\"\xff\"", `{"a":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`} {
		require.Equal(t, http.StatusBadRequest, w.call(t, http.MethodPost, events, body).status, "%q", body)
	}
}

func TestWhatCanBePublishedCanBeRead(t *testing.T) {
	t.Parallel()
	w, published := newBus(t)
	ids := []string{"a b", "a/b", "ä", "100%", "%2F", "?x=1", "#", `"`, `\`, "a.b", ".", "..", "a,b;c:d", "+", "日本", "name:shop.eu;lsn:1", "explain", "a/explain"}
	for c := byte(' '); c < 0x7f; c++ {
		ids = append(ids, "x"+string(rune(c))+"y")
	}
	for _, id := range ids {
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(id)
		a := w.call(t, http.MethodPost, events, `{"event_type":"order.created","event_id":"`+quoted+`","data":1}`)
		require.Equal(t, http.StatusAccepted, a.status, "%s: %s", id, a.text)
	}
	record(t, w, published())
	for _, id := range ids {
		path := events + url.PathEscape(id) + "/"
		a := w.call(t, http.MethodGet, path, "")
		require.Equal(t, http.StatusOK, a.status, "%s: %s", path, a.text)
		require.Equal(t, id, a.json["event_id"])
		require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, path+"explain/", "").status, path)
	}
}

func TestACloudEventIsFoundByItsOwnID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := newEvent("1|/shop-a", 1, "order.created", "", time.Hour), newEvent("1|/shop-b", 2, "order.created", "", time.Minute)
	other := newEvent("1|x|/shop-c", 3, "order.created", "", time.Second)
	w.published(t, a, b, other)
	for id, want := range map[string]string{"1": b.ID, a.ID: a.ID, b.ID: b.ID, "1|x": other.ID} {
		got := w.call(t, http.MethodGet, events+url.PathEscape(id)+"/", "")
		require.Equal(t, http.StatusOK, got.status, got.text)
		require.Equal(t, want, got.json["event_id"])
	}
	require.Equal(t, http.StatusNotFound, w.call(t, http.MethodGet, events+"2/", "").status)
}

// brokenBus only stores every second event.
type brokenBus struct{}

func (brokenBus) PublishEvents(_ context.Context, list []bus.Outgoing) error {
	failed := &bus.PublishError{Stored: make([]bool, len(list)), Err: errors.New("stopped")}
	for i := range list {
		failed.Stored[i] = i%2 == 0
	}
	return failed
}

func TestABatchThatIsStoredInPartSaysWhichEventsAreNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.Publisher = brokenBus{} })
	const one = `{"event_type":"order.created","data":1}`
	a := w.call(t, http.MethodPost, events, `[`+one+`,`+one+`,`+one+`,`+one+`]`)
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.Equal(t, []string{"/1", "/3"}, a.pointers())
	require.Contains(t, a.json["detail"], "The others are stored")
}

func TestPublishingGoesOnWhereIDsCannotBeLookedUp(t *testing.T) {
	t.Parallel()
	alive := newWorld(t)
	db := *alive.db.DB
	db.Ledger = away(t).Ledger
	w := newWorld(t, func(d *httpapi.Deps) { d.Cases.Stores, d.Publisher = usecase.NewStores(&db, &db), anyBus{} })
	a := w.call(t, http.MethodPost, events, `{"event_type":"order.created","event_id":"1","data":1}`, header("Idempotency-Key", "k"), token(alive.token))
	require.Equal(t, http.StatusAccepted, a.status, a.text)
}

// anyBus accepts everything.
type anyBus struct{}

func (anyBus) PublishEvents(context.Context, []bus.Outgoing) error { return nil }
