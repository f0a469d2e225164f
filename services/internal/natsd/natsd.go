// Package natsd runs nats-server with JetStream inside this process, for the one-command try-out and for tests. In
// production a cluster of its own takes its place; the same code connects to both.
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
	// RandomPort is the Options.Port that takes a free one.
	RandomPort = server.RANDOM_PORT
	// MaxPayload is the largest message the server takes, in bytes: events have at most 1 MiB, batches of facts more.
	MaxPayload = 8 << 20
	// maxPending is how many bytes may wait for one slow connection before the server drops it.
	maxPending = 256 << 20
	// maxMemory bounds streams that live in memory; Whisperer has none.
	maxMemory = 256 << 20
	// startTimeout bounds the recovery of a large store.
	startTimeout = 2 * time.Minute
	// readyStep is how long the server is asked to get ready before it is asked whether it runs at all.
	readyStep = 100 * time.Millisecond
)

// ErrInUse says that another running server has the store folder.
var ErrInUse = errors.New("store folder is in use by another running program")

// Durability is what an acknowledged message survives. Each survives the end of the process, however it comes.
type Durability int

const (
	// Fast syncs the store every second: a power cut may take what was acknowledged in the last one.
	Fast Durability = iota
	// Strict syncs before it acknowledges: a power cut takes nothing, and a stream takes some thousand messages a second.
	Strict
)

// Options say how to run the server.
type Options struct {
	// StoreDir keeps the streams, and is made where it is missing. Required.
	StoreDir string
	// Host is the address to listen on; empty means 127.0.0.1.
	Host string
	// Port is the port to listen on; RandomPort takes a free one, and 0 means NATS' own 4222.
	Port int
	// DontListen opens no port at all: only this process can connect, by InProcessConn.
	DontListen bool
	// Durability is Fast unless said otherwise.
	Durability Durability
	// MaxStore bounds the streams on disk, in bytes. 0 means half of what the disk has free at the start, the streams
	// that are there counted as free: PostgreSQL, which records more than it carries, is usually on the same disk.
	MaxStore int64
	// ConfigFile is one of nats-server's own, for what there is no option here: accounts, TLS. Empty for none.
	ConfigFile string
	// Logger gets what the server has to say; nil means nobody does.
	Logger *zap.Logger

	cluster *member // nil for a server of its own
}

// Server is a running nats-server. Shut it down.
type Server struct {
	options Options
	server  *server.Server
	lock    *filelock.Lock
}

// Start runs a server and returns when it takes connections and JetStream is up; ctx bounds the start only. It returns
// ErrInUse when another server has the store (nats-server itself does not notice), and otherwise the reason that
// nats-server gives: a port that is taken, a store that cannot be written.
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
	settings.NoSigs = true // signals are the program's
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

// Again starts a server that was shut down again, on what it has stored, and as the member of its cluster that it was. The
// port may be another.
func (s *Server) Again(ctx context.Context) (*Server, error) { return Start(ctx, s.options) }

// ClientURL is where clients connect. With Options.DontListen it leads nowhere.
func (s *Server) ClientURL() string { return s.server.ClientURL() }

// InProcessConn opens a connection that does not leave the process. It makes Server a nats.InProcessConnProvider, for
// the option nats.InProcessServer.
func (s *Server) InProcessConn() (net.Conn, error) { return s.server.InProcessConn() }

// Shutdown closes all connections and the store, and returns when that is done. Close clients first. When ctx ends
// before, it returns ctx's error, and the store stays in use until the server is through.
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
