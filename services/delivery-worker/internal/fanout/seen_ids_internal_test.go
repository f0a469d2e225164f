package fanout

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// days feeds a seenIDs one hour at a time.
type days struct {
	*seenIDs

	at time.Time
}

func newDays() *days {
	return &days{seenIDs: newSeenIDs(dayOfIDs), at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func idOf(n int) store.EventKey { return store.EventKey{Tenant: "acme", ID: fmt.Sprint(n)} }

// hear feeds an event of the given run.
func (d *days) hear(run uint64, id int) bool {
	return d.isNew(&bus.Message{PublishedAt: d.at, Deliveries: 1, Run: bus.Run{ID: run}}, idOf(id))
}

func TestNothingIsNewBeforeTheIDsOfADayAreKnown(t *testing.T) {
	t.Parallel()
	d := newDays()
	for id := range enough - 1 {
		require.False(t, d.hear(1, id))
	}
	later := time.Now().Add(time.Minute)
	_, _, ok := d.lacking(later)
	require.False(t, ok, "others may get as many")
	require.False(t, d.hear(1, 100))
	_, _, ok = d.lacking(time.Now())
	require.False(t, ok, "others may get the next hundreds")
	run, since, ok := d.lacking(later)
	require.True(t, ok)
	require.Equal(t, bus.Run{ID: 1}, run)
	require.Equal(t, d.at.Add(-24*time.Hour), since)

	d.add(idOf(200))
	d.finish(run)
	_, _, ok = d.lacking(later)
	require.False(t, ok)
	require.True(t, d.hear(1, 300))
	for _, id := range []int{0, 100, 200, 300} {
		require.False(t, d.hear(1, id), id)
	}
	require.True(t, d.isNew(&bus.Message{PublishedAt: d.at, Run: run}, store.EventKey{Tenant: "other", ID: "0"}))
	for id, m := range []*bus.Message{{Run: run, Deliveries: 2}, {Run: run, Older: true}, {}} {
		m.PublishedAt = d.at
		require.False(t, d.isNew(m, idOf(400+id)), "others may have had this one")
	}
}

func TestAnotherRunBeginsWithNothing(t *testing.T) {
	t.Parallel()
	d := newDays()
	require.False(t, d.hear(1, 1))
	d.finish(bus.Run{ID: 1})
	require.True(t, d.hear(1, 2))
	require.False(t, d.hear(2, 3), "what another worker got is missing")
	d.finish(bus.Run{ID: 1}) // the ids were read for the previous run
	require.False(t, d.hear(2, 4))
	require.False(t, d.hear(1, 5), "it was on its way")
	d.finish(bus.Run{ID: 2})
	require.True(t, d.hear(2, 6))
	for id := range 5 {
		require.False(t, d.hear(2, id+1))
	}
}

func TestARunOfADayNeedsNothingBeforeIt(t *testing.T) {
	t.Parallel()
	d := newDays()
	for id := range 25 {
		require.False(t, d.hear(1, id))
		d.at = d.at.Add(time.Hour)
	}
	require.True(t, d.hear(1, 100))
}

func TestAnIDIsKnownForADayAtLeast(t *testing.T) {
	t.Parallel()
	d := newDays()
	d.hear(1, 0)
	d.finish(bus.Run{ID: 1})
	for id := 1; id < 200; id++ {
		d.at = d.at.Add(time.Hour)
		require.True(t, d.hear(1, id))
		for before := max(0, id-23); before < id; before += 11 {
			require.False(t, d.hear(1, before), "%d after %d", id, before)
		}
	}
	require.True(t, d.hear(1, 5), "it is not known for ever")
}
