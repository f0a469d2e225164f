package localpg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/whisperer-oms/whisperer/services/internal/freeport"
)

const (
	// startTimeout bounds a start whose context has no deadline. It includes the recovery of a kept cluster.
	startTimeout = 2 * time.Minute
	// stopGrace is how long an immediate shutdown may take before the server is killed.
	stopGrace = 5 * time.Second
)

// Options configure a server. The zero value starts a temporary cluster.
type Options struct {
	// BinDir is the folder of the postgres and initdb binaries; empty means the result of Find.
	BinDir string
	// DataDir is the folder of a kept cluster, created if it is missing; empty means a temporary cluster.
	DataDir string
	// FallbackDir is where a kept cluster goes if the server's user cannot enter DataDir, which only happens to root;
	// empty means /var/lib/whisperer.
	FallbackDir string
	// TCP makes the server listen on 127.0.0.1, with a password, in addition to its socket.
	TCP bool
	// Port is the TCP port; 0 selects a free one. A port other than 0 implies TCP.
	Port int
	// Settings are additional settings of postgresql.conf. They override ours.
	Settings map[string]string
}

// Server is a running PostgreSQL. Call Stop to end it.
type Server struct {
	cluster  string
	kept     *home // nil for a temporary cluster
	scratch  *scratch
	tcp      bool
	port     int
	password string

	command *exec.Cmd
	log     logTail
	done    chan struct{}

	stopOnce sync.Once
	stopping chan struct{}
	stopErr  error
}

// Start creates the cluster if there is none, starts a server on it and returns when it accepts connections; ctx
// bounds only the start. It returns ErrNoBinaries if the machine has no PostgreSQL, ErrInUse if another program runs
// the kept cluster, and otherwise errors with the end of the server's log.
func Start(ctx context.Context, o Options) (*Server, error) {
	for tries := portTries; ; tries-- {
		s, err := start(ctx, o)
		taken := err != nil && o.TCP && o.Port == 0 && strings.Contains(err.Error(), "could not create any TCP/IP sockets")
		if !taken || tries == 1 {
			return s, err
		}
	}
}

// portTries is how often a free port is tried: another program may take the port before the server does.
const portTries = 5

func start(ctx context.Context, o Options) (_ *Server, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	bin, err := openBinaries(ctx, o.BinDir)
	if err != nil {
		return nil, err
	}
	who, err := pickAccount()
	if err != nil {
		return nil, err
	}
	s := &Server{
		tcp: o.TCP || o.Port != 0, port: o.Port,
		done: make(chan struct{}), stopping: make(chan struct{}),
	}
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	if who, err = s.prepare(ctx, o, bin, who); err != nil {
		return nil, err
	}
	if err = s.launch(bin, who, o.Settings); err != nil {
		return nil, err
	}
	if err = s.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, s.abort())
	}
	return s, nil
}

// prepare finds or creates the folders and the cluster, and returns the account for the server.
func (s *Server) prepare(ctx context.Context, o Options, bin binaries, who account) (account, error) {
	var err error
	root, memory := memoryDir()
	if o.DataDir != "" {
		if s.kept, err = openHome(ctx, o.DataDir, o.FallbackDir, who); err != nil {
			return who, err
		}
		who = who.keeperOf(s.kept.cluster())
	}
	if s.kept != nil || !memory {
		root = tempDir()
	}
	if s.scratch, err = makeScratch(ctx, root, who); err != nil {
		return who, err
	}
	if s.kept != nil {
		s.cluster = s.kept.cluster()
		if err := endOrphan(ctx, s.cluster, syscall.SIGINT); err != nil {
			return who, err
		}
		err = bin.keepCluster(ctx, s.cluster, who)
	} else {
		s.cluster = s.scratch.cluster()
		err = bin.copyCluster(ctx, s.cluster, who)
	}
	if err != nil {
		return who, err
	}
	password, err := os.ReadFile(filepath.Join(s.cluster, passwordName))
	if err != nil {
		return who, fmt.Errorf("read cluster password: %w", err)
	}
	s.password = strings.TrimSpace(string(password))
	if s.tcp && s.port == 0 {
		s.port, err = freeport.Find(ctx)
	}
	return who, err
}

// launch starts the server's process.
func (s *Server) launch(bin binaries, who account, extra map[string]string) error {
	args := []string{"-D", s.cluster}
	for name, value := range s.settings(extra) {
		args = append(args, "-c", name+"="+value)
	}
	death := syscall.SIGINT // a fast shutdown, with a checkpoint
	if s.kept == nil {
		death = syscall.SIGQUIT
	}
	//nolint:noctx // the server outlives the context of its start; Stop ends it
	s.command = exec.Command(bin.path("postgres"), args...)
	s.command.Dir, s.command.Env, s.command.SysProcAttr = "/", environment(), who.attributes(death)
	s.command.Stdout, s.command.Stderr = &s.log, &s.log
	s.command.WaitDelay = stopGrace
	started := make(chan error, 1)
	go func() {
		defer close(s.done)
		// The kernel sends the death signal when the thread that started the child ends, so that thread must live as
		// long as the server.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := s.command.Start()
		started <- err
		if err == nil {
			_ = s.command.Wait() // ProcessState says how it ended
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	return nil
}

func (s *Server) settings(extra map[string]string) map[string]string {
	settings := map[string]string{
		"listen_addresses":        "",
		"unix_socket_directories": s.scratch.dir,
		"port":                    strconv.Itoa(s.socketPort()),
		"jit":                     "off",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"max_connections":         "200",
	}
	if s.tcp {
		settings["listen_addresses"] = "127.0.0.1"
	}
	if s.kept == nil { // nothing has to survive, not even a crash of the server alone
		settings["fsync"] = "off"
		settings["synchronous_commit"] = "off"
		settings["full_page_writes"] = "off"
		settings["shared_buffers"] = "64MB"
		settings["max_wal_size"] = "1GB"
		settings["autovacuum_naptime"] = "10min"
	}
	maps.Copy(settings, extra)
	return settings
}

// socketPort returns the number in the socket's name, which is the TCP port if there is one.
func (s *Server) socketPort() int {
	if s.port == 0 {
		return 5432
	}
	return s.port
}

func (s *Server) awaitReady(ctx context.Context) error {
	for {
		if pid, status, ok := postmaster(s.cluster); ok && pid == s.command.Process.Pid && (status == "ready" || status == "standby") {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("start postgres: it ended: %s\n%s", s.command.ProcessState, s.log.String())
		case <-ctx.Done():
			return fmt.Errorf("wait for postgres: %w\n%s", ctx.Err(), s.log.String())
		case <-time.After(pollEvery):
		}
	}
}

// URL returns the connection string of a database, for libpq and compatible drivers. Over TCP it contains the
// password. A new cluster has the database "postgres".
func (s *Server) URL(database string) string {
	u := url.URL{Scheme: "postgres", Path: "/" + database}
	query := url.Values{"sslmode": {"disable"}}
	if s.tcp {
		u.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
		u.User = url.UserPassword(superuser, s.password)
	} else {
		query.Set("host", s.scratch.dir)
		query.Set("port", strconv.Itoa(s.socketPort()))
		query.Set("user", superuser)
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// Socket returns the path of the server's socket. It accepts connections without a password from the server's user
// and root.
func (s *Server) Socket() string {
	return filepath.Join(s.scratch.dir, ".s.PGSQL."+strconv.Itoa(s.socketPort()))
}

// Dir returns the folder of the cluster's files.
func (s *Server) Dir() string { return s.cluster }

// Relocated reports whether the cluster is in Dir instead of Options.DataDir, because the user that PostgreSQL runs
// as cannot enter DataDir. A file in the data folder says so too; tell the user.
func (s *Server) Relocated() bool { return s.kept != nil && s.kept.relocated }

// Done is closed when the server's process has ended, whether by Stop or by itself; Err tells which.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err returns nil while the server runs and after Stop. Otherwise it says how the server ended, with the end of its
// log.
func (s *Server) Err() error {
	select {
	case <-s.stopping:
		return nil
	default:
	}
	select {
	case <-s.done:
		return fmt.Errorf("postgres ended by itself: %s\n%s", s.command.ProcessState, s.log.String())
	default:
		return nil
	}
}

// Stop ends the server. A kept cluster gets a fast shutdown. If ctx ends before that has finished, it gets an
// immediate one, Stop returns ctx's error, and the next Start recovers from the log. A temporary cluster ends at once
// and is deleted. Later calls return the result of the first.
func (s *Server) Stop(ctx context.Context) error {
	s.stopOnce.Do(func() {
		close(s.stopping)
		how := syscall.SIGINT
		if s.kept == nil {
			how = syscall.SIGQUIT
		}
		s.stopErr = s.end(ctx, how)
		s.release()
	})
	return s.stopErr
}

// end signals the server and waits for it to end, and escalates once ctx is over.
func (s *Server) end(ctx context.Context, how syscall.Signal) error {
	_ = s.command.Process.Signal(how) // it may have ended already
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	_ = s.command.Process.Signal(syscall.SIGQUIT)
	select {
	case <-s.done:
	case <-time.After(stopGrace):
		_ = s.command.Process.Kill()
		<-s.done
	}
	return fmt.Errorf("stop postgres: %w", ctx.Err())
}

// abort ends a server that did not become ready.
func (s *Server) abort() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	return s.end(ctx, syscall.SIGQUIT)
}

// release removes temporary folders and releases locks; the server must have ended.
func (s *Server) release() {
	if s.scratch != nil {
		s.scratch.remove()
	}
	if s.kept != nil {
		s.kept.release()
	}
}
