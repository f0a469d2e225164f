package webhook_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestEventIDsTravelInHeaders(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		id string
		ok bool
	}{
		"a uuid":                {"0190b5c4-7c2e-7b1a-9f00-2f3c5d6e7f80", true},
		"a number":              {"42", true},
		"other visible ASCII":   {"order:42/created;v=1", true},
		"the longest":           {strings.Repeat("a", 255), true},
		"too long by one":       {strings.Repeat("a", 256), false},
		"a megabyte":            {strings.Repeat("a", 1<<20), false},
		"empty":                 {"", false},
		"a dot":                 {"order.42", true},
		"CRLF and a header":     {"42\r\nX-Evil: 1", false},
		"a space":               {"4 2", true},
		"a quote":               {`4"2`, true},
		"a comma":               {"4,2", true},
		"a backslash":           {`4\2`, true},
		"broken UTF-8 in it":    {"a\xff", false},
		"NUL":                   {"4\x002", false},
		"DEL":                   {"4\x7f2", false},
		"a letter beyond ASCII": {"ü", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.ok, webhook.ValidateEventID(test.id) == nil)
		})
	}
}

func TestEntitiesArePrintable(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		entity string
		ok     bool
	}{
		"none":             {"", true},
		"a thing":          {"package:61", true},
		"beyond ASCII":     {"Paket 61 für Jürgen", true},
		"the longest":      {strings.Repeat("e", 256), true},
		"too long by one":  {strings.Repeat("e", 257), false},
		"a line feed":      {"a\nb", false},
		"NUL":              {"a\x00", false},
		"DEL":              {"a\x7f", false},
		"broken UTF-8":     {"a\xff", false},
		"a lone surrogate": {"a\uFFFD", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.ok, webhook.ValidateEntity(test.entity) == nil)
		})
	}
}

func TestTenantsAreTokensOfSubjects(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"default": true, "acme-2_x": true, "0": true, strings.Repeat("t", 63): true,
		"": false, strings.Repeat("t", 64): false, "-a": false, "_a": false, "A": false, "a.b": false, "*": false, ">": false,
		"a b": false, "ü": false, "a\n": false,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, ok, webhook.ValidateTenant(name) == nil)
		})
	}
}

func TestTheDigestTellsEventsApart(t *testing.T) {
	t.Parallel()
	event := func() webhook.Event {
		return webhook.Event{Type: "order.created", Entity: "order:1", Context: []byte(`{"a":1}`), ConfigFilter: []byte(`{"b":1}`), Data: []byte(`{"c":1}`)}
	}
	first := event()
	same := map[string]func(e *webhook.Event){
		"nothing":                  func(*webhook.Event) {},
		"the sequence":             func(e *webhook.Event) { e.Seq = 9 },
		"the time of publication":  func(e *webhook.Event) { e.PublishedAt = time.Unix(1, 0) },
		"the time that was told":   func(e *webhook.Event) { e.Time = time.Unix(1, 0) },
		"the trace":                func(e *webhook.Event) { e.Traceparent = "00-1" },
		"nil in place of no bytes": func(e *webhook.Event) { e.Data = append([]byte(nil), e.Data...) },
	}
	for name, edit := range same {
		t.Run("is the same with another "+name, func(t *testing.T) {
			t.Parallel()
			e := event()
			edit(&e)
			require.Equal(t, first.Digest(), e.Digest())
		})
	}
	other := map[string]func(e *webhook.Event){
		"type":                 func(e *webhook.Event) { e.Type = "order.updated" },
		"entity":               func(e *webhook.Event) { e.Entity = "order:2" },
		"context":              func(e *webhook.Event) { e.Context = nil },
		"filter":               func(e *webhook.Event) { e.ConfigFilter = []byte(`{"b":2}`) },
		"data":                 func(e *webhook.Event) { e.Data = []byte(`{"c":2}`) },
		"spacing":              func(e *webhook.Event) { e.Data = []byte(`{"c": 1}`) },
		"border between parts": func(e *webhook.Event) { e.Type, e.Entity = "order.createdorder", ":1" },
		"place of a part":      func(e *webhook.Event) { e.Context, e.ConfigFilter = e.ConfigFilter, e.Context },
	}
	for name, edit := range other {
		t.Run("differs with another "+name, func(t *testing.T) {
			t.Parallel()
			e := event()
			edit(&e)
			require.NotEqual(t, first.Digest(), e.Digest())
		})
	}
}

func TestIDsFromTheStreamAreStableAndDiffer(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	id := webhook.EventIDFromStream(7, at)
	require.NoError(t, webhook.ValidateEventID(id))
	require.Equal(t, id, webhook.EventIDFromStream(7, at.In(time.FixedZone("", 3600))))
	require.NotEqual(t, id, webhook.EventIDFromStream(8, at))
	require.NotEqual(t, id, webhook.EventIDFromStream(7, at.Add(time.Nanosecond)), "a stream that was made anew")
}

func TestADeliveryIsOneEventForOneHook(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		hook, event := uuid.New(), rapid.StringN(1, 20, -1).Draw(t, "event")
		id := webhook.DeliveryID(hook, event)
		require.Equal(t, id, webhook.DeliveryID(hook, event))
		require.Equal(t, uuid.Version(5), id.Version())
		require.NotEqual(t, id, webhook.DeliveryID(uuid.New(), event))
		require.NotEqual(t, id, webhook.DeliveryID(hook, event+"x"))
	})
}

func TestTheFirstAttemptOfADelivery(t *testing.T) {
	t.Parallel()
	h, e := &webhook.Hook{ID: uuid.New()}, &webhook.Event{ID: "e1", PublishedAt: time.Unix(5, 0)}
	due := webhook.FirstDue(h, e)
	require.Equal(t, webhook.Due{
		ID: webhook.DeliveryID(h.ID, "e1"), Hook: h, Event: e, Round: webhook.Round{PublishedAt: e.PublishedAt}, First: true,
	}, due)
}

func TestOnlySomeStatesAreFinal(t *testing.T) {
	t.Parallel()
	for state, final := range map[webhook.DeliveryState]bool{
		webhook.Waiting: false, webhook.Parked: false, webhook.Delivered: true, webhook.Dead: true, webhook.Cancelled: true,
	} {
		require.Equal(t, final, state.Final(), state)
	}
}
