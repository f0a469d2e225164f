package index_test

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/index"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func config(t require.TestingT, text string) webhook.Config {
	c, err := webhook.ParseConfig([]byte(text))
	require.NoError(t, err)
	return c
}

func hook(t require.TestingT, types ...string) webhook.Hook {
	return webhook.Hook{
		ID: uuid.New(), Tenant: "acme", EventTypes: types, Config: config(t, ``), Status: webhook.Active, CreatedAt: noon, Version: 1,
	}
}

func event(eventType string) *webhook.Event {
	return &webhook.Event{ID: "e", Tenant: "acme", Type: eventType, PublishedAt: noon, Data: []byte(`{"n":1}`)}
}

func ids(hooks []*webhook.Hook) []string {
	list := make([]string, len(hooks))
	for i, h := range hooks {
		list[i] = h.ID.String()
	}
	slices.Sort(list)
	return list
}

func TestAnEventGoesToTheHooksThatMayHaveIt(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		edit func(h *webhook.Hook)
		want bool
	}{
		"a hook for its type":                   {func(*webhook.Hook) {}, true},
		"a paused hook, for parking":            {func(h *webhook.Hook) { h.Status = webhook.Paused }, true},
		"no disabled hook":                      {func(h *webhook.Hook) { h.Status = webhook.Disabled }, false},
		"no hook of another tenant":             {func(h *webhook.Hook) { h.Tenant = "other" }, false},
		"no hook for another type":              {func(h *webhook.Hook) { h.EventTypes = []string{"order.updated"} }, false},
		"no hook that was made later":           {func(h *webhook.Hook) { h.CreatedAt = noon.Add(time.Minute) }, false},
		"a hook that was made by a clock ahead": {func(h *webhook.Hook) { h.CreatedAt = noon.Add(time.Second) }, true},
		"a hook that wants it for several reasons": {func(h *webhook.Hook) {
			h.EventTypes = []string{"*", "*.*", "*.>", ">", "order.*", "order.>", "order.created"}
		}, true},
		"a hook whose config it asks for":     {func(h *webhook.Hook) { h.Config = config(t, `{"channel_id":12}`) }, true},
		"no hook whose config differs":        {func(h *webhook.Hook) { h.Config = config(t, `{"channel_id":13}`) }, false},
		"a hook whose filter it passes":       {func(h *webhook.Hook) { h.Config = config(t, `{"channel_id":12,"filter":"event.data.n == 1"}`) }, true},
		"no hook whose filter it does not":    {func(h *webhook.Hook) { h.Config = config(t, `{"channel_id":12,"filter":"event.data.n == 2"}`) }, false},
		"no hook whose filter cannot be told": {func(h *webhook.Hook) { h.Config = config(t, `{"channel_id":12,"filter":"event.data.missing == 2"}`) }, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := index.New(nil)
			h := hook(t, "order.created")
			h.Config = config(t, `{"channel_id":12}`)
			test.edit(&h)
			x.Put(h)
			e := event("order.created")
			e.ConfigFilter = []byte(`{"channel_id":12}`)
			found := x.Match(e, nil)
			require.Equal(t, test.want, len(found) == 1, "found %d", len(found))
		})
	}
}

func TestAFilterThatCannotBeCompiledPausesItsHook(t *testing.T) {
	t.Parallel()
	x := index.New(nil)
	h := hook(t, "*")
	h.Config.Filter = "event.data.n =="
	x.Put(h)
	found := x.Match(event("order.created"), nil)
	require.Len(t, found, 1)
	require.Equal(t, webhook.Paused, found[0].Status)
	require.Equal(t, webhook.Paused, x.Get(h.ID).Status)
}

func types() *rapid.Generator[string] {
	word := rapid.SampledFrom([]string{"order", "hook", "a", "b"})
	return rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(word, 1, 3).Draw(t, "words"), ".") })
}

func patterns() *rapid.Generator[string] {
	word := rapid.SampledFrom([]string{"order", "hook", "a", "b", "*", "*"})
	return rapid.Custom(func(t *rapid.T) string {
		pattern := strings.Join(rapid.SliceOfN(word, 1, 3).Draw(t, "words"), ".")
		if rapid.IntRange(0, 3).Draw(t, "rest") == 0 {
			pattern += ".>"
		}
		if rapid.IntRange(0, 9).Draw(t, "everything") == 0 {
			pattern = ">"
		}
		return pattern
	})
}

// hooks generates hooks with few distinct ids. Each has a version of its own, as in the database.
func hooks(version *int64) *rapid.Generator[webhook.Hook] {
	return rapid.Custom(func(t *rapid.T) webhook.Hook {
		*version++
		h := webhook.Hook{
			Version:    *version,
			ID:         uuid.UUID{15: byte(rapid.IntRange(1, 12).Draw(t, "id"))},
			Tenant:     rapid.SampledFrom([]string{"acme", "other"}).Draw(t, "tenant"),
			EventTypes: rapid.SliceOfN(patterns(), 1, 4).Draw(t, "types"),
			Status:     rapid.SampledFrom([]webhook.HookStatus{webhook.Active, webhook.Paused, webhook.Disabled}).Draw(t, "status"),
			CreatedAt:  noon.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, "created")) * time.Second),
		}
		h.Config = config(t, rapid.SampledFrom([]string{``, `{"c":1}`, `{"c":2,"d":1}`}).Draw(t, "config"))
		return h
	})
}

// TestTheIndexFindsWhatLookingAtEachHookFinds compares the index with a plain map.
func TestTheIndexFindsWhatLookingAtEachHookFinds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		told := map[uuid.UUID]*webhook.Hook{}
		x := index.New(func(id uuid.UUID, h *webhook.Hook) {
			if h == nil {
				delete(told, id)
			} else {
				told[id] = h
			}
		})
		naive := map[uuid.UUID]webhook.Hook{}
		var version int64
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				h := hooks(&version).Draw(t, "hook")
				x.Put(h)
				naive[h.ID] = h
			},
			"remove": func(t *rapid.T) {
				h := hooks(&version).Draw(t, "hook")
				x.Remove(h.ID)
				delete(naive, h.ID)
			},
			"replace": func(t *rapid.T) {
				next := map[uuid.UUID]webhook.Hook{}
				for _, h := range rapid.SliceOf(hooks(&version)).Draw(t, "hooks") {
					if old, ok := naive[h.ID]; ok && rapid.Bool().Draw(t, "unchanged") {
						h = old
					}
					next[h.ID] = h
				}
				naive = next
				x.Replace(pointers(slices.Collect(maps.Values(naive))...), []string{"acme", "other"})
			},
			"": func(t *rapid.T) {
				e := event(types().Draw(t, "type"))
				e.ConfigFilter = []byte(rapid.SampledFrom([]string{``, `{"c":1}`, `{"d":1}`}).Draw(t, "filter"))
				var want []*webhook.Hook
				for _, h := range naive {
					if h.Matches(e) && h.Status != webhook.Disabled && !e.PublishedAt.Before(h.CreatedAt.Add(-time.Second)) {
						want = append(want, &h)
					}
				}
				require.Equal(t, ids(want), ids(x.Match(e, nil)), "event %s", e.Type)
				require.Equal(t, len(naive), x.Len())
				require.Len(t, told, len(naive))
				for id, h := range naive {
					require.Equal(t, h, *x.Get(id))
					require.Same(t, x.Get(id), told[id], "what others were told is what is found")
				}
			},
		})
	})
}

func TestAReloadLeavesWhatHasNotChanged(t *testing.T) {
	t.Parallel()
	var told []string
	x := index.New(func(id uuid.UUID, h *webhook.Hook) { told = append(told, fmt.Sprint(id, h != nil)) })
	same, changed, gone := hook(t, "*"), hook(t, "order.*"), hook(t, "order.created")
	x.Replace(pointers(same, changed, gone), []string{"acme"})
	before := x.Get(same.ID)
	told = nil
	changed.Version++
	x.Replace(pointers(same, changed), []string{"acme"})
	require.Same(t, before, x.Get(same.ID))
	require.Nil(t, x.Get(gone.ID))
	require.ElementsMatch(t, []string{fmt.Sprint(changed.ID, true), fmt.Sprint(gone.ID, false)}, told)
	told = nil
	x.Remove(gone.ID) // as happens when a hook without callbacks changes
	x.Remove(same.ID)
	require.Equal(t, []string{fmt.Sprint(same.ID, false)}, told, "what was not known is not gone")
}

func TestTenantsAreKnownWithAndWithoutHooks(t *testing.T) {
	t.Parallel()
	x := index.New(nil)
	require.False(t, x.HasTenant("acme"))
	x.SetTenant("acme", true)
	x.SetTenant("acme", true)
	require.True(t, x.HasTenant("acme"))
	require.Empty(t, x.Match(event("order.created"), nil))
	x.Put(hook(t, "*"))
	x.SetTenant("acme", true)
	require.Len(t, x.Match(event("order.created"), nil), 1, "its hooks are kept")
	x.Replace(nil, []string{"other"})
	require.False(t, x.HasTenant("acme"))
}

func TestMatchingGoesOnWhileHooksChange(t *testing.T) {
	t.Parallel()
	x := index.New(nil)
	stays := hook(t, "order.*")
	x.Put(stays)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 200 {
				h := hook(t, "order.created", "order.*", "*")
				x.Put(h)
				x.Remove(h.ID)
			}
		})
	}
	for range 4 {
		wait.Go(func() {
			for range 500 {
				require.Contains(t, ids(x.Match(event("order.created"), nil)), stays.ID.String())
			}
		})
	}
	wait.Wait()
	require.Equal(t, 1, x.Len())
	require.Len(t, x.Match(event("order.created"), nil), 1)
}

// BenchmarkMatch shows that hooks which do not match take no time, and measures the memory per hook.
func BenchmarkMatch(b *testing.B) {
	for name, size := range map[string]int{"1 hook": 1, "100k hooks of which 1 matches": 100_000} {
		b.Run(name, func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			list := make([]webhook.Hook, size)
			for i := range list {
				list[i] = hook(b, fmt.Sprintf("package.status.s%d", i), fmt.Sprintf("shipment.n%d.>", i))
				list[i].TargetURL = fmt.Sprintf("https://receiver-%d.example/hooks", i)
			}
			list[0].EventTypes = []string{"order.created"}
			x := index.New(nil)
			x.Replace(pointers(list...), []string{"acme"})
			runtime.GC()
			runtime.ReadMemStats(&after)
			e := event("order.created")
			var found []*webhook.Hook
			for b.Loop() {
				found = x.Match(e, found[:0])
			}
			require.Len(b, found, 1)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(size), "B/hook")
			runtime.KeepAlive(x)
		})
	}
	b.Run("10k hooks which all match twice", func(b *testing.B) {
		x := index.New(nil)
		for range 10_000 {
			x.Put(hook(b, "order.created", "order.*"))
		}
		e := event("order.created")
		var found []*webhook.Hook
		for b.Loop() {
			found = x.Match(e, found[:0])
		}
		require.Len(b, found, 10_000)
	})
}

// BenchmarkMatchFiltered matches an event for 100 hooks with filters, and in the same loop for 100 hooks without. It reports
// filters per second, and the time per hook as a multiple of the time without a filter.
func BenchmarkMatchFiltered(b *testing.B) {
	const hooks = 100
	for name, expression := range map[string]string{
		"comparisons": `event.data.total > 100.0 && event.data.currency == "EUR" && event.data.channel.id in [7, 12]`,
		"a loop":      `event.data.lines.exists(l, l.sku == "B-19")`,
	} {
		b.Run(name, func(b *testing.B) {
			filtered, plain := index.New(nil), index.New(nil)
			for range hooks {
				h := hook(b, "order.created")
				plain.Put(h)
				h.Config.Filter = expression
				filtered.Put(h)
			}
			e := event("order.created")
			lines := make([]string, 20)
			for i := range lines {
				lines[i] = fmt.Sprintf(`{"sku":"B-%d","quantity":1}`, i)
			}
			e.Data = []byte(`{"total":125.5,"currency":"EUR","channel":{"id":12},"lines":[` + strings.Join(lines, ",") + `]}`)
			var found []*webhook.Hook
			var without, with time.Duration
			for b.Loop() {
				began := time.Now()
				found = plain.Match(e, found[:0])
				between := time.Now()
				found = filtered.Match(e, found[:0])
				without, with = without+between.Sub(began), with+time.Since(between)
				require.Len(b, found, hooks)
			}
			b.ReportMetric(hooks*float64(b.N)/with.Seconds(), "filters/s")
			b.ReportMetric(with.Seconds()/without.Seconds(), "x-unfiltered")
		})
	}
}

func pointers(hooks ...webhook.Hook) []*webhook.Hook {
	list := make([]*webhook.Hook, len(hooks))
	for i := range hooks {
		list[i] = &hooks[i]
	}
	return list
}
