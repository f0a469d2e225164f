package daemon_test

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

var errBroken = errors.New("broken")

// journal records the order of events.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.lines...)
}

// steady returns a component that runs until it is stopped.
func (j *journal) steady(name string) daemon.Component {
	return daemon.Component{Name: name, Run: func(ctx context.Context, ready func()) error {
		j.add("start " + name)
		ready()
		<-ctx.Done()
		j.add("stop " + name)
		return ctx.Err()
	}}
}

// then returns a component that calls do when all components before it are ready, and is then ready itself.
func then(do func()) daemon.Component {
	return daemon.Component{Name: "then", Run: func(ctx context.Context, ready func()) error {
		ready()
		do()
		<-ctx.Done()
		return nil
	}}
}

func TestRunStartsInOrderAndStopsInReverse(t *testing.T) {
	t.Parallel()
	var j journal
	ctx, cancel := context.WithCancel(t.Context())
	err := daemon.Run(ctx, zap.NewNop(), j.steady("a"), j.steady("b"), j.steady("c"), then(cancel))
	require.NoError(t, err)
	require.Equal(t, []string{"start a", "start b", "start c", "stop c", "stop b", "stop a"}, j.all())
}

func TestRunWaitsForReady(t *testing.T) {
	t.Parallel()
	var j journal
	ctx, cancel := context.WithCancel(t.Context())
	slow := daemon.Component{Name: "slow", Run: func(ctx context.Context, ready func()) error {
		time.AfterFunc(20*time.Millisecond, func() {
			j.add("slow is ready")
			ready()
			ready() // a second call does no harm
		})
		<-ctx.Done()
		return nil
	}}
	require.NoError(t, daemon.Run(ctx, zap.NewNop(), slow, j.steady("a"), then(cancel)))
	require.Equal(t, []string{"slow is ready", "start a", "stop a"}, j.all())
}

func TestRunStopsAllAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		run  func(ctx context.Context, ready func()) error
		want string
	}{
		"before it is ready": {func(context.Context, func()) error { return errBroken }, "bad: broken"},
		"after it was ready": {func(_ context.Context, ready func()) error { ready(); return errBroken }, "bad: broken"},
		"by ending early":    {func(_ context.Context, ready func()) error { ready(); return nil }, "bad: ended by itself"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var j journal
			err := daemon.Run(t.Context(), zap.NewNop(), j.steady("a"), daemon.Component{Name: "bad", Run: test.run})
			require.EqualError(t, err, test.want)
			require.Equal(t, []string{"start a", "stop a"}, j.all())
		})
	}
}

func TestRunStopsBeforeAllAreReady(t *testing.T) {
	t.Parallel()
	var j journal
	ctx, cancel := context.WithCancel(t.Context())
	never := daemon.Component{Name: "never ready", Run: func(ctx context.Context, _ func()) error {
		cancel()
		<-ctx.Done()
		return nil
	}}
	require.NoError(t, daemon.Run(ctx, zap.NewNop(), j.steady("a"), never, j.steady("b")))
	require.Equal(t, []string{"start a", "stop a"}, j.all())
}

func TestRunReportsErrorsOfStopping(t *testing.T) {
	t.Parallel()
	var j journal
	ctx, cancel := context.WithCancel(t.Context())
	bad := daemon.Component{Name: "bad", Run: func(ctx context.Context, ready func()) error {
		ready()
		<-ctx.Done()
		return errBroken
	}}
	err := daemon.Run(ctx, zap.NewNop(), j.steady("a"), bad, then(cancel))
	require.ErrorIs(t, err, errBroken)
	require.EqualError(t, err, "stop bad: broken")
	require.Equal(t, []string{"start a", "stop a"}, j.all())
}

func TestRunDoesNotWaitLongerThanTheStopTimeout(t *testing.T) {
	t.Parallel()
	var j journal
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	stuck := daemon.Component{Name: "stuck", StopTimeout: 10 * time.Millisecond, Run: func(_ context.Context, ready func()) error {
		ready()
		<-release
		return nil
	}}
	err := daemon.Run(ctx, zap.NewNop(), j.steady("a"), stuck, then(cancel))
	require.EqualError(t, err, "stop stuck: still running after 10ms")
	require.Equal(t, []string{"start a", "stop a"}, j.all())
}

//nolint:paralleltest // a signal reaches every Run of the process
func TestSignalStopsInOrder(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			var j journal
			err := daemon.Run(t.Context(), zap.NewNop(), j.steady("a"), j.steady("b"), then(func() { raise(t, s) }))
			require.NoError(t, err)
			require.Equal(t, []string{"start a", "start b", "stop b", "stop a"}, j.all())
		})
	}
}

//nolint:paralleltest // a signal reaches every Run of the process
func TestSecondSignalForcesTheEnd(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	stuck := daemon.Component{Name: "stuck", StopTimeout: time.Hour, Run: func(ctx context.Context, ready func()) error {
		ready()
		raise(t, syscall.SIGTERM)
		<-ctx.Done()
		raise(t, syscall.SIGTERM)
		<-release
		return nil
	}}
	require.ErrorIs(t, daemon.Run(t.Context(), zap.NewNop(), stuck), daemon.ErrForced)
}

//nolint:paralleltest // a signal reaches every Run of the process
func TestFirstSignalAfterAFailureForcesNothing(t *testing.T) {
	stopped := make(chan struct{})
	slow := daemon.Component{Name: "slow", Run: func(ctx context.Context, ready func()) error {
		ready()
		<-ctx.Done()
		raise(t, syscall.SIGTERM)
		time.AfterFunc(50*time.Millisecond, func() { close(stopped) })
		<-stopped
		return nil
	}}
	bad := daemon.Component{Name: "bad", Run: func(context.Context, func()) error { return errBroken }}
	err := daemon.Run(t.Context(), zap.NewNop(), slow, bad)
	require.ErrorIs(t, err, errBroken)
	require.NotErrorIs(t, err, daemon.ErrForced)
}

func raise(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(syscall.Getpid(), s); err != nil {
		t.Errorf("raise %s: %v", s, err)
	}
}
