package standalone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/localpg"
	"github.com/whisperer-oms/whisperer/services/internal/natsd"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// backendStop bounds the shutdown of a backend.
const backendStop = 20 * time.Second

// stopper stops what was started.
type stopper func(ctx context.Context) error

// startPostgres starts a local server with its data in the folder, unless a URL was given, and migrates the database
// to this program's schema.
func (s *system) startPostgres(ctx context.Context) (stopper, error) {
	s.databaseURL = s.opts.DatabaseURL
	stop := func(context.Context) error { return nil }
	if s.databaseURL == "" {
		server, err := localpg.Start(ctx, localpg.Options{DataDir: s.data.path(pgDir), TCP: true})
		if errors.Is(err, localpg.ErrNoBinaries) {
			return nil, fmt.Errorf("%w\nOr give the URL of a running one: --database-url postgres://…", err)
		}
		if err != nil {
			return nil, err
		}
		stop, s.localDatabase = server.Stop, server
		s.databaseURL = server.URL("postgres")
	}
	if _, err := store.Migrate(ctx, s.databaseURL); err != nil {
		return nil, errors.Join(err, within(backendStop, stop))
	}
	return stop, nil
}

// watchPostgres returns the component that fails if our own server ends by itself.
func (s *system) watchPostgres() daemon.Component {
	return daemon.Component{Name: "postgres", Run: func(ctx context.Context, ready func()) error {
		ready()
		var ended <-chan struct{}
		if s.localDatabase != nil {
			ended = s.localDatabase.Done()
		}
		select {
		case <-ended:
			return s.localDatabase.Err()
		case <-ctx.Done():
			return nil
		}
	}}
}

// startNATS starts an embedded server with its streams in the folder, unless a URL was given.
func (s *system) startNATS(ctx context.Context) (stopper, error) {
	if s.opts.NATSURL != "" {
		s.natsURL = s.opts.NATSURL
		return func(context.Context) error { return nil }, nil
	}
	port, err := s.natsPort(ctx)
	if err != nil {
		return nil, err
	}
	durability := natsd.Fast
	if s.opts.Strict {
		durability = natsd.Strict
	}
	server, err := natsd.Start(ctx, natsd.Options{
		StoreDir: s.data.path(natsDir), Port: port, Durability: durability, Logger: s.log.With(zap.String("part", "nats")),
	})
	if err != nil {
		return nil, err
	}
	s.natsURL = server.ClientURL()
	return server.Shutdown, nil
}

// natsPort returns 4222, where NATS' own tools look for a server, or the next free port.
func (s *system) natsPort(ctx context.Context) (int, error) {
	if s.opts.AnyPort {
		return natsd.RandomPort, nil
	}
	address, err := freeAddress(ctx, "127.0.0.1:4222")
	if err != nil {
		return 0, err
	}
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return 0, fmt.Errorf("read address: %w", err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("read port: %w", err)
	}
	return port, nil
}

// within calls stop with a context of its own, because the program's has ended by then.
func within(timeout time.Duration, stop stopper) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return stop(ctx)
}
