package filelock_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/filelock"
)

func TestTry(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "lock")

	first, err := filelock.Try(name)
	require.NoError(t, err)
	_, err = filelock.Try(name)
	require.ErrorIs(t, err, filelock.ErrHeld)

	first.Release()
	second, err := filelock.Try(name)
	require.NoError(t, err, "a released lock is free")
	second.Release()

	_, err = filelock.Try(filepath.Join(name, "under-a-file"))
	require.Error(t, err)
	require.NotErrorIs(t, err, filelock.ErrHeld)
}

func TestWait(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "lock")
	held, err := filelock.Try(name)
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err = filelock.Wait(ctx, name)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, filelock.ErrHeld)

	got := make(chan error, 1)
	go func() {
		lock, err := filelock.Wait(t.Context(), name)
		if err == nil {
			lock.Release()
		}
		got <- err
	}()
	held.Release()
	require.NoError(t, <-got)
}
