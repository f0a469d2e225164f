// Package natsd runs nats-server with JetStream inside this process, for standalone mode and for tests. Production
// uses a separate cluster, to which the same code connects.
package natsd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/filelock"
)

const (
	// RandomPort as Options.Port selects a free port.
	RandomPort = server.RANDOM_PORT
	// MaxPayload is the size of the largest message in bytes. Events have at most 1 MiB; batches of facts may be
	// larger.
	MaxPayload = 8 << 20
	// maxPending is how many bytes may wait for a slow connection before the server drops it.
	maxPending = 256 << 20
	// maxMemory bounds memory streams, of which Whisperer has none.
	maxMemory = 256 << 20
	// startTimeout is long enough to recover a large store.
	startTimeout = 2 * time.Minute
	// readyStep is how long each wait for readiness takes before the log is checked for a failure.
	readyStep = 100 * time.Millisecond
)

// ErrInUse says that another running server uses the store folder.
var ErrInUse = errors.New("store folder is in use by another running program")

// Durability says which failures an acknowledged message survives. It always survives the end of the process, even a
// crash.
type Durability int

const (
	// Fast syncs the store every second: a power failure may lose the last second's messages.
	Fast Durability = iota
	// Strict syncs before it acknowledges. A power failure loses nothing, but a stream takes only some thousand
	// messages per second.
	Strict
)

// Options configure a server.
type Options struct {
	// StoreDir holds the streams. It is created if it is missing. Required.
	StoreDir string
	// Host is the address to listen on; empty means 127.0.0.1.
	Host string
	// Port is the port to listen on; RandomPort selects a free one, and 0 means NATS' default, 4222.
	Port int
	// DontListen opens no port: only this process can connect, through InProcessConn.
	DontListen bool
	// Durability defaults to Fast.
	Durability Durability
	// MaxStore bounds the streams on disk, in bytes. 0 means half of the disk space that is free at start, where
	// existing streams count as free. The rest is for PostgreSQL, which is usually on the same disk and stores more
	// than NATS.
	MaxStore int64
	// ConfigFile is the path of a nats-server configuration, for settings without an option here: accounts, TLS. May
	// be empty.
	ConfigFile string
	// Logger gets the server's log; may be nil.
	Logger *zap.Logger

	cluster *member // nil for a server outside a cluster
}

// Server is a running nats-server. Call Shutdown to stop it.
type Server struct {
	options Options
	server  *server.Server
	lock    *filelock.Lock
}

// Start starts a server and returns when it accepts connections and JetStream is up; ctx bounds only the start. It
// returns ErrInUse if another server uses the store, which nats-server itself does not notice. Otherwise the error is
// nats-server's own: the port is taken, the store cannot be written.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.StoreDir == "" {
		return nil, errors.New("start nats-server: no store folder given")
	}
	if err := os.MkdirAll(o.StoreDir, 0o700); err != nil {
		return nil, fmt.Errorf("make store folder: %w", err)
	}
	lock, err := filelock.Try(filepath.Join(o.StoreDir, "lock"))
	if errors.Is(err, filelock.ErrHeld) {
		return nil, fmt.Errorf("open store folder %s: %w", o.StoreDir, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("open store folder: %w", err)
	}
	running, err := run(ctx, o)
	if err != nil {
		lock.Release()
		return nil, fmt.Errorf("start nats-server: %w", err)
	}
	return &Server{options: o, server: running, lock: lock}, nil
}

func run(ctx context.Context, o Options) (*server.Server, error) {
	settings, err := o.settings()
	if err != nil {
		return nil, err
	}
	s, err := server.NewServer(settings)
	if err != nil {
		return nil, err
	}
	log := o.Logger
	if log == nil {
		log = zap.NewNop()
	}
	words := &logger{log: log, fatal: make(chan error, 1)}
	s.SetLoggerV2(words, false, false, false)

	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ready := make(chan struct{})
	go func() {
		s.Start()
		for s.Running() && !s.ReadyForConnections(readyStep) {
		}
		close(ready)
	}()
	select {
	case err = <-words.fatal:
	case <-ctx.Done():
		err = ctx.Err()
	case <-ready:
		err = words.verdict()
	}
	if err != nil {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, err
	}
	return s, nil
}

func (o Options) settings() (*server.Options, error) {
	maxStore := o.MaxStore
	if maxStore == 0 {
		half, err := halfOfFree(o.StoreDir)
		if err != nil {
			return nil, err
		}
		maxStore = half
	}
	host := o.Host
	if host == "" {
		host = "127.0.0.1"
	}
	settings := &server.Options{}
	if o.ConfigFile != "" {
		var err error
		if settings, err = server.ProcessConfigFile(o.ConfigFile); err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
	}
	settings.ServerName = "whisperer"
	settings.Host, settings.Port, settings.DontListen = host, o.Port, o.DontListen
	settings.MaxPayload, settings.MaxPending = MaxPayload, maxPending
	settings.JetStream, settings.StoreDir = true, o.StoreDir
	settings.JetStreamMaxMemory, settings.JetStreamMaxStore = maxMemory, maxStore
	settings.DisableJetStreamBanner = true
	settings.NoSigs = true // the program handles signals
	if o.cluster != nil {
		o.cluster.apply(settings)
	}
	switch o.Durability {
	case Fast:
		settings.SyncInterval = time.Second
	case Strict:
		settings.SyncAlways = true
	default:
		return nil, fmt.Errorf("unknown durability %d", o.Durability)
	}
	return settings, nil
}

// halfOfFree returns half of the bytes that the streams in the folder could take at most.
func halfOfFree(dir string) (int64, error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return 0, fmt.Errorf("ask for free space of %s: %w", dir, err)
	}
	bytes := int64(disk.Bavail) * int64(disk.Bsize) //nolint:gosec,unconvert // no disk is that large; the type differs by system
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measure store folder: %w", err)
	}
	return bytes / 2, nil
}

// Again starts a server that was shut down once more, with the same store and cluster membership. The port may
// differ.
func (s *Server) Again(ctx context.Context) (*Server, error) { return Start(ctx, s.options) }

// ClientURL returns the URL for clients. It is not usable with Options.DontListen.
func (s *Server) ClientURL() string { return s.server.ClientURL() }

// InProcessConn opens a connection within the process. It implements nats.InProcessConnProvider, for the option
// nats.InProcessServer.
func (s *Server) InProcessConn() (net.Conn, error) { return s.server.InProcessConn() }

// Shutdown closes all connections and the store, and returns when that is done. Close clients first. If ctx ends
// before that, it returns ctx's error, and the store stays in use until the server has finished.
func (s *Server) Shutdown(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.server.Shutdown()
		s.server.WaitForShutdown()
		s.lock.Release()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("shut nats-server down: %w", ctx.Err())
	}
}
