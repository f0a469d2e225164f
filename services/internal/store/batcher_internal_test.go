package store

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// slowly returns a batcher whose batches take a second, and which records their sizes.
func slowly(sizes *[]int) *batcher[int, int] {
	return &batcher[int, int]{most: 50, limit: time.Minute, do: func(_ context.Context, _ string, list []int) []outcome[int] {
		*sizes = append(*sizes, len(list))
		<-time.After(time.Second)
		answers := make([]outcome[int], len(list))
		for i, n := range list {
			answers[i].value = 2 * n
		}
		return answers
	}}
}

// TestCallersThatComeAgainShareABatch checks that the callers of a batch and those who waited meanwhile do not take turns.
func TestCallersThatComeAgainShareABatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		b := slowly(&sizes)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for range 5 {
					<-time.After(time.Millisecond) // the caller's work in between
					got, err := b.add(t.Context(), "key", i)
					require.NoError(t, err)
					require.Equal(t, 2*i, got)
				}
			})
		}
		all.Wait()
		<-time.After(time.Second) // no input arrives
		synctest.Wait()
		require.LessOrEqual(t, len(sizes), 6, "the first ones come apart, all later ones together: %v", sizes)
		require.Empty(t, b.queues)
	})
}

// TestWhoIsAloneDoesNotWaitForOthers checks that a single caller, or the last one, does not wait long for others.
func TestWhoIsAloneDoesNotWaitForOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		b := slowly(&sizes)
		begin := time.Now()
		for i := range 3 {
			_, err := b.add(t.Context(), strconv.Itoa(i), i)
			require.NoError(t, err)
		}
		require.Equal(t, 3*time.Second, time.Since(begin))

		begin = time.Now()
		var all sync.WaitGroup
		all.Go(func() { _, _ = b.add(t.Context(), "key", 1) })
		synctest.Wait()
		all.Go(func() { _, _ = b.add(t.Context(), "key", 2) })
		all.Wait()
		require.Equal(t, 2*time.Second+gatherLimit, time.Since(begin), "the first one did not come again")
		synctest.Wait()
		<-time.After(time.Second)
		require.Equal(t, []int{1, 1, 1, 1, 1}, sizes)
		require.Empty(t, b.queues)
	})
}
