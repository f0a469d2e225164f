package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestAnEventIsExplainedForEveryHook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := func(name, rest string) string {
		return w.create(t, `{"name":"`+name+`","target_url":"http://example.com/`+name+`",`+rest+`}`)["id"].(string)
	}
	got := w.createHook(t, `{"name":"got","event_type":"*","target_url":"http://example.com/got"}`)
	gone := w.createHook(t, `{"name":"gone","event_type":"*","target_url":"http://example.com/gone"}`)
	hook("other-type", `"event_type":"package.>"`)
	hook("other-channel", `"event_type":"*","config":{"channel_id":13}`)
	hook("filtered", `"event_type":"*","config":{"channel_id":12,"filter":"event.data.n > 100.0"}`)
	hook("missed", `"event_type":"*","config":{"channel_id":12}`)
	e := newEvent("e-1", 1, "order.created", "", -time.Minute) // old enough even if creating the hooks takes long
	e.ConfigFilter = []byte(`{"channel_id":12}`)
	hookLater := func() { hook("later", `"event_type":"*"`) }
	old := newEvent("e-0", 2, "order.created", "", time.Hour)
	w.published(t, e, old)
	w.recorded(t, newFact(got, &e, webhook.Dead, webhook.ReasonExhausted, 500), newFact(gone, &e, webhook.Delivered, "", 200))
	require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, hooks+gone.String()+"/", "").status)
	hookLater()

	a := w.call(t, http.MethodGet, events+"e-1/explain/?limit=4", "")
	require.Equal(t, http.StatusOK, a.status, a.text)
	names, outcomes, reasons, details := field(a, "name"), field(a, "outcome"), field(a, "reason"), field(a, "detail")
	a = w.call(t, http.MethodGet, a.json["next"].(string), "")
	names, outcomes, reasons = append(names, field(a, "name")...), append(outcomes, field(a, "outcome")...), append(reasons, field(a, "reason")...)
	require.Equal(t, []string{"later", "missed", "filtered", "other-channel", "other-type", "got", ""}, names)
	require.Equal(t, []string{"not_matched", "not_recorded", "not_matched", "not_matched", "not_matched", "dead", "delivered"}, outcomes)
	require.Equal(t, []string{"config_filter", "", "filter", "config_filter", "event_type", "exhausted", ""}, reasons)
	require.Equal(t, "The hook's filter is false: event.data.n is 1.5.", details[2])
	last := a.json["results"].([]any)[1].(map[string]any)
	require.Equal(t, "recorded", last["evaluated"])
	require.InDelta(t, 1, last["attempt_count"], 0)

	a = w.call(t, http.MethodGet, events+"e-0/explain/", "")
	require.Equal(t, "created_later", field(a, "reason")[0])
	require.Equal(t, "now", field(a, "evaluated")[0])
	require.Equal(t, http.StatusNotFound, w.call(t, http.MethodGet, events+"e-9/explain/", "").status)
}

func TestAnExplanationNamesTheFirstThingThatKeepsAnEventAway(t *testing.T) {
	t.Parallel()
	const published = `"event_type":"order.*","config":{"channel_id":12}`
	const disabled = `status = 'disabled', disabled_reason = 'It was gone.'`
	for name, c := range map[string]struct {
		hook           string
		change         string // changes the hook's row, bypassing the API's checks
		age            time.Duration
		reason, detail string
	}{
		"a hook made after the event": {published, "", time.Hour, "created_later", "The hook was created after the event was published."},
		"a hook of other types": {
			`"event_type":"package.>"`, "", -time.Hour, "event_type",
			"None of the hook's event types covers order.created.",
		},
		"a hook of another channel": {
			`"event_type":"order.*","config":{"channel_id":13}`, "", -time.Hour, "config_filter",
			"The event is for hooks whose config contains its config_filter, and this one's does not.",
		},
		"a hook without a channel": {
			`"event_type":"order.*"`, "", -time.Hour, "config_filter",
			"The event is for hooks whose config contains its config_filter, and this one's does not.",
		},
		"a filter that is false": {
			`"event_type":"order.*","config":{"channel_id":12,"filter":"event.data.n > 2.0"}`, "", -time.Hour, "filter",
			"The hook's filter is false: event.data.n is 1.5.",
		},
		"a filter about what is not there": {
			`"event_type":"order.*","config":{"channel_id":12,"filter":"event.data.total > 2.0"}`, "", -time.Hour,
			"filter_failed", "The hook's filter could not be evaluated for the event: ",
		},
		"a filter that cannot be read": {
			published, `config = '{"channel_id":12,"filter":"event.data.n >"}'`, -time.Hour, "filter_invalid",
			"The hook's filter cannot be read: ",
		},
		"a hook that is disabled":          {published, disabled, -time.Hour, "hook_disabled", "The hook is disabled: It was gone."},
		"a disabled hook of another type":  {`"event_type":"package.>"`, disabled, -time.Hour, "event_type", "None of "},
		"a hook that wants it":             {published, "", -time.Hour, "", "The hook wants the event as it is now. "},
		"a hook that is paused wants it":   {published + `,"status":"paused"`, "", -time.Hour, "", "The hook wants the event as it is now. "},
		"a hook whose filter lets it pass": {`"event_type":"order.*","config":{"channel_id":12,"filter":"event.data.n < 2.0"}`, "", -time.Hour, "", "The hook wants the event as it is now. "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.createHook(t, `{"target_url":"http://example.com/a",`+c.hook+`}`)
			if c.change != "" {
				w.admin(t, `UPDATE hooks SET `+c.change)
			}
			e := newEvent("e-1", 1, "order.created", "", c.age)
			e.ConfigFilter = []byte(`{"channel_id":12}`)
			w.published(t, e)
			a := w.call(t, http.MethodGet, events+"e-1/explain/", "")
			require.Equal(t, http.StatusOK, a.status, a.text)
			list := a.json["results"].([]any)
			require.Len(t, list, 1)
			got := list[0].(map[string]any)
			require.Equal(t, id.String(), got["hook"])
			require.Equal(t, c.reason, got["reason"])
			require.True(t, strings.HasPrefix(got["detail"].(string), c.detail), got["detail"])
			outcome := "not_matched"
			if c.reason == "" {
				outcome = "not_recorded"
			}
			require.Equal(t, outcome, got["outcome"])
			require.Equal(t, "now", got["evaluated"])
			require.Nil(t, got["delivery"])
		})
	}
}

func TestAnExplanationIsAboutTheTenantsOwnHooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.MakeTenant(t, "acme")
	acme := header("X-Whisperer-Tenant", "acme")
	w.createHook(t, `{"name":"ours","event_type":"*","target_url":"http://example.com/a"}`)
	w.createHook(t, `{"name":"theirs","event_type":"*","target_url":"http://example.com/a"}`, acme)
	w.published(t, newEvent("e-1", 1, "order.created", "", -time.Hour))
	require.Equal(t, []string{"ours"}, field(w.call(t, http.MethodGet, events+"e-1/explain/", ""), "name"))
	require.Equal(t, http.StatusNotFound, w.call(t, http.MethodGet, events+"e-1/explain/", "", acme).status)
}

func TestASecretIsRotatedWithoutAGap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.createHook(t, `{"event_type":"*","target_url":"http://example.com/","secret_key":"first"}`)
	path := hooks + id.String() + "/secret/rotate/"
	a := w.call(t, http.MethodPost, path, "")
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.Regexp(t, "^whsec_", a.json["secret_key"])
	require.Equal(t, `"2"`, a.header.Get("ETag"))
	h, err := w.db.Hooks.Get(t.Context(), webhook.DefaultTenant, id)
	require.NoError(t, err)
	require.Len(t, h.Secrets, 2)
	require.Equal(t, a.json["secret_key"], h.Secrets[0].Value)
	require.True(t, h.Secrets[0].ExpiresAt.IsZero())
	require.Equal(t, "first", h.Secrets[1].Value)
	require.WithinDuration(t, time.Now().Add(24*time.Hour), h.Secrets[1].ExpiresAt, time.Minute)

	a = w.call(t, http.MethodPost, path, `{"secret_key":"mine"}`, header("If-Match", `"2"`))
	require.Equal(t, "mine", a.json["secret_key"])
	require.Equal(t, http.StatusPreconditionFailed, w.call(t, http.MethodPost, path, "", header("If-Match", `"2"`)).status)
	for _, bad := range []string{`{"secret_key":""}`, `{"secret_key":"whsec_***"}`, `{"secret_key":1}`, `{"secret":"x"}`} {
		require.Equal(t, http.StatusUnprocessableEntity, w.call(t, http.MethodPost, path, bad).status, bad)
	}
	unsigned := w.createHook(t, `{"event_type":"*","target_url":"http://example.com/2"}`)
	a = w.call(t, http.MethodPost, hooks+unsigned.String()+"/secret/rotate/", "")
	require.Nil(t, a.json["old_until"])
}
