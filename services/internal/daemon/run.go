package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// ErrForced says that a second signal cut the shutdown short. Components may still be running, so the program should
// exit at once.
var ErrForced = errors.New("stop was cut short by a second signal")

// defaultStopTimeout is the timeout of a component without a StopTimeout.
const defaultStopTimeout = 10 * time.Second

// Component is a part of a program that runs as long as the program does.
type Component struct {
	// Name identifies the component in logs and errors.
	Name string
	// Run starts the component, calls ready when the components after it may start, continues until ctx ends, then
	// shuts down and returns. Returning earlier, or with an error other than ctx's, is a failure.
	Run func(ctx context.Context, ready func()) error
	// StopTimeout is how long Run may take to return after its context has ended; 0 means ten seconds.
	StopTimeout time.Duration
}

// Run starts the components one after the other, each when the previous one is ready. It waits until ctx ends, SIGINT
// or SIGTERM arrives, or a component fails. Then it stops them in reverse order, each when the one after it has
// stopped or has used up its time. It returns nil after a clean shutdown that was requested. Otherwise the error
// joins the failure, errors of stopping, and the names of components that did not stop in time. After a second signal
// it returns ErrForced at once.
func Run(ctx context.Context, log *zap.Logger, components ...Component) error {
	g := &group{
		log:     log,
		signals: make(chan os.Signal, 2),
		ended:   make(chan *running, len(components)),
	}
	signal.Notify(g.signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(g.signals)

	begin := time.Now()
	up, failure := g.start(ctx, components)
	if up {
		log.Info("started", zap.Duration("duration", time.Since(begin)))
		failure = g.wait(ctx)
	}
	return errors.Join(failure, g.stop())
}

// Start runs the components like Run, but in the background, and returns when all are ready. stop ends them and
// returns Run's result; it may be called repeatedly. Start returns Run's error if a component fails before that, or
// ctx's if ctx ends.
func Start(ctx context.Context, log *zap.Logger, components ...Component) (stop func() error, err error) {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	up, ended := make(chan struct{}), make(chan error, 1)
	last := Component{Name: "up", Run: func(ctx context.Context, ready func()) error {
		close(up)
		ready()
		<-ctx.Done()
		return nil
	}}
	go func() { ended <- Run(running, log, append(slices.Clip(components), last)...) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	select {
	case <-up:
		return stop, nil
	case err := <-ended:
		cancel()
		return nil, err
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), stop())
	}
}

type group struct {
	log      *zap.Logger
	signals  chan os.Signal
	signaled bool
	running  []*running
	ended    chan *running
}

// running is a component that was started.
type running struct {
	Component
	cancel context.CancelFunc
	ready  chan struct{}
	done   chan struct{}
	err    error // Run's result; valid once done is closed
	failed bool  // it returned without being asked to, and that was reported
}

// start returns true when all components are ready. Otherwise it returns the failure, which is nil if a stop was
// requested.
func (g *group) start(ctx context.Context, components []Component) (up bool, failure error) {
	for _, c := range components {
		r := g.launch(ctx, c)
		select {
		case <-r.ready:
			g.log.Debug("component ready", zap.String("component", c.Name))
		case ended := <-g.ended:
			return false, g.failure(ended)
		case s := <-g.signals:
			g.asked(s)
			return false, nil
		case <-ctx.Done():
			return false, nil
		}
	}
	return true, nil
}

// launch runs a component under a context of its own, which ends when it is this component's turn to stop, rather
// than when the parent context ends.
func (g *group) launch(ctx context.Context, c Component) *running {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &running{Component: c, cancel: cancel, ready: make(chan struct{}), done: make(chan struct{})}
	g.running = append(g.running, r)
	go func() {
		r.err = c.Run(own, sync.OnceFunc(func() { close(r.ready) }))
		close(r.done)
		g.ended <- r
	}()
	return r
}

// wait returns nil when a stop is requested, or the failure of a component.
func (g *group) wait(ctx context.Context) error {
	select {
	case ended := <-g.ended:
		return g.failure(ended)
	case s := <-g.signals:
		g.asked(s)
	case <-ctx.Done():
	}
	return nil
}

func (g *group) asked(s os.Signal) {
	g.signaled = true
	g.log.Info("stopping", zap.Stringer("signal", s))
}

func (g *group) failure(r *running) error {
	r.failed = true
	err := fmt.Errorf("%s: %w", r.Name, r.err)
	if r.err == nil {
		err = fmt.Errorf("%s: ended by itself", r.Name)
	}
	g.log.Error("component failed, stopping", zap.String("component", r.Name), zap.Error(r.err))
	return err
}

// stop stops the running components, the last one first.
func (g *group) stop() error {
	begin := time.Now()
	var problems []error
	for _, r := range slices.Backward(g.running) {
		r.cancel()
		err := g.await(r)
		if errors.Is(err, ErrForced) {
			g.log.Warn("stop was cut short by a second signal", zap.String("component", r.Name))
			return errors.Join(append(problems, err)...)
		}
		if err != nil {
			problems = append(problems, err)
		}
	}
	g.log.Info("stopped", zap.Duration("duration", time.Since(begin)))
	return errors.Join(problems...)
}

// await waits for a component that was told to stop.
func (g *group) await(r *running) error {
	timeout := r.StopTimeout
	if timeout == 0 {
		timeout = defaultStopTimeout
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		select {
		case <-r.done:
			if r.err == nil || r.failed || errors.Is(r.err, context.Canceled) {
				return nil
			}
			g.log.Error("component stopped with an error", zap.String("component", r.Name), zap.Error(r.err))
			return fmt.Errorf("stop %s: %w", r.Name, r.err)
		case <-timer.C:
			g.log.Error("component did not stop in time", zap.String("component", r.Name), zap.Duration("timeout", timeout))
			return fmt.Errorf("stop %s: still running after %s", r.Name, timeout)
		case s := <-g.signals:
			if g.signaled {
				return ErrForced
			}
			g.asked(s) // the stop had another reason, so this is the first signal
		}
	}
}
