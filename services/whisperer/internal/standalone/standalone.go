// Package standalone runs the whole system in one process: NATS, PostgreSQL, subscription-api, delivery-worker, and a
// demo. It is for trying things out and for development. It keeps its data.
package standalone

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/localpg"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/receiver"
)

// Defaults of Options.
const (
	DefaultData   = "./.whisperer"
	DefaultListen = "127.0.0.1:8080"
)

// maxLog is the size of the log from which on a start begins a new one.
const maxLog = 16 << 20

// Options say what to run and where.
type Options struct {
	// Data is the folder that keeps everything between starts.
	Data string
	// DatabaseURL and NATSURL are URLs of running servers; empty to start our own.
	DatabaseURL string
	NATSURL     string
	// NATSEnviron are the variables with the credentials for NATSURL.
	NATSEnviron []string
	// Environ has OpenTelemetry's variables.
	Environ []string
	// Namespace is the prefix of streams and subjects.
	Namespace string
	// Listen is the API's address, which must be free; empty means DefaultListen or the next free port.
	Listen string
	// AnyPort uses any free ports instead of the usual ones and those after them.
	AnyPort bool
	// Demo publishes a story and receives it.
	Demo bool
	// Speed is the speed of the story; 1 is normal.
	Speed float64
	// Strict syncs every message to disk before it is acknowledged.
	Strict bool
	// Version and Program are this program's, for the welcome message.
	Version string
	Program string
	Out     io.Writer
	// Color says that Out is a terminal with colors.
	Color bool
	// Again makes the welcome message appear again for each line that is read from it; may be nil. The demo then
	// prints fewer lines, so that the message can be read.
	Again io.Reader
}

// system is the running system. Each component sets its fields before it is ready, and later ones use them.
type system struct {
	opts    Options
	data    *folder
	log     *zap.Logger
	key     string
	printer *receiver.Printer

	localDatabase *localpg.Server // nil if a URL was given
	databaseURL   string
	natsURL       string
	natsAs        bus.Credentials
	listener      net.Listener // the demo receiver's
	receiverURL   string
	apiURL        string
	metrics       []string
	token         string
	demo          demoState
	origins       *origins
}

// Run runs everything until ctx ends or a signal arrives, and then shuts down. It returns ErrInUse if another program
// uses the data folder, localpg.ErrNoBinaries if there is no PostgreSQL, and otherwise what failed.
func Run(ctx context.Context, o Options) error {
	data, err := openFolder(o.Data)
	if err != nil {
		return err
	}
	defer data.close()
	logTo, err := openLog(data.path(logFile))
	if err != nil {
		return err
	}
	defer logTo.Close()
	log, err := daemon.NewLogger("info", "json", logTo)
	if err != nil {
		return err
	}
	s := &system{opts: o, data: data, log: log, printer: receiver.NewPrinter(o.Out, o.Color), origins: newOrigins()}
	if s.key, err = data.masterKey(); err != nil {
		return err
	}
	if s.demo, err = data.demo(); err != nil {
		return err
	}
	err = s.run(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // stopped during startup
	}
	return err
}

// run starts the backends, then everything that needs them. It stops everything in reverse: worker, API, NATS,
// PostgreSQL.
func (s *system) run(ctx context.Context) (err error) {
	stopPostgres, err := s.startPostgres(ctx)
	if err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	defer func() { err = stopBackend(err, "postgres", stopPostgres) }()
	stopNATS, err := s.startNATS(ctx)
	if err != nil {
		return fmt.Errorf("start nats: %w", err)
	}
	defer func() { err = stopBackend(err, "nats", stopNATS) }()
	if err := s.ensureToken(ctx); err != nil {
		return fmt.Errorf("make token: %w", err)
	}
	api, err := s.newAPI(ctx)
	if err != nil {
		return fmt.Errorf("start subscription-api: %w", err)
	}
	worker, err := s.newWorker(ctx)
	if err != nil {
		return fmt.Errorf("start delivery-worker: %w", err)
	}
	components := slices.Concat([]daemon.Component{s.watchPostgres()}, api)
	if s.opts.Demo {
		components = append(components, s.hooks(), s.receiver())
	}
	components = append(append(components, worker...), s.greet())
	if s.opts.Demo {
		components = append(components, s.story())
	}
	err = daemon.Run(ctx, s.log, components...)
	_ = os.Remove(s.data.path(urlFile)) // it does not exist if the start failed
	return err
}

// stopBackend stops a backend and joins its error. After a second signal it does nothing: the backends end with the
// process.
func stopBackend(err error, name string, stop stopper) error {
	if errors.Is(err, daemon.ErrForced) {
		return err
	}
	if stopErr := within(backendStop, stop); stopErr != nil {
		return errors.Join(err, fmt.Errorf("stop %s: %w", name, stopErr))
	}
	return err
}

// openLog opens the log for appending, or begins a new one if it has become large.
func openLog(path string) (io.WriteCloser, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, fmt.Errorf("begin new log: %w", err)
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return file, nil
}

// ensureToken returns an operator's token that the API accepts: the one in the folder, or else a new one. A new one
// is needed for the first start, and for another database.
func (s *system) ensureToken(ctx context.Context) error {
	db, err := store.Open(s.databaseURL, 1, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	if s.token, err = s.data.read(tokenFile); err != nil {
		return err
	}
	if s.token != "" {
		if _, err := db.Access.Authenticate(ctx, s.token); err == nil {
			return nil
		}
	}
	n := store.NewToken{Name: "standalone", Role: store.Admin}
	if s.token, _, err = db.Access.CreateToken(ctx, "standalone", n); err != nil {
		return err
	}
	return s.data.write(tokenFile, s.token)
}

// client returns a client of the API with the operator's token.
func (s *system) client() (*client.Client, error) {
	return client.New(client.Options{URL: s.apiURL, Token: s.token, UserAgent: "whisperer-standalone/" + s.opts.Version})
}

// hooks returns the component that creates the demo's hooks, before there is anything to deliver to them.
func (s *system) hooks() daemon.Component {
	return step("demo hooks", func(ctx context.Context) error {
		listener, err := listenAgain(ctx, s.demo.Port)
		if err != nil {
			return err
		}
		s.listener, s.receiverURL = listener, "http://"+listener.Addr().String()
		api, err := s.client()
		if err != nil {
			return err
		}
		if err := ensureDemoHooks(ctx, api, &s.demo, portOf(listener)); err != nil {
			return errors.Join(err, listener.Close())
		}
		return s.data.saveDemo(s.demo)
	})
}

// listenAgain listens on the port of the last start, or on any free one.
func listenAgain(ctx context.Context, port int) (net.Listener, error) {
	config := &net.ListenConfig{}
	if port != 0 {
		if l, err := config.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return l, nil
		}
	}
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the demo: %w", err)
	}
	return l, nil
}

func portOf(l net.Listener) int {
	if addr, ok := l.Addr().(*net.TCPAddr); ok {
		return addr.Port
	}
	return 0
}

// receiver returns the component behind the demo's hooks.
func (s *system) receiver() daemon.Component {
	return daemon.Component{Name: "demo receiver", Run: func(ctx context.Context, ready func()) error {
		seen := s.printer.Line
		if s.opts.Again != nil {
			seen = paced(time.Second, seen)
		}
		handler, err := demoReceiver(&s.demo, s.origins, seen)
		if err != nil {
			return err
		}
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
		failed := make(chan error, 1)
		go func() { failed <- server.Serve(s.listener) }()
		ready()
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			return server.Close() // the worker has ended, so nobody waits for a response
		}
	}}
}

// greet returns the component that prints the welcome message once everything is running.
func (s *system) greet() daemon.Component {
	return step("welcome", func(context.Context) error {
		if err := s.data.write(urlFile, s.apiURL); err != nil {
			return err
		}
		s.greeting()
		if s.opts.Again != nil {
			go s.greetAgain()
		}
		return nil
	})
}

// greeting prints the welcome message, followed by the column names of the demo's lines.
func (s *system) greeting() {
	var b strings.Builder
	s.welcome(&b)
	s.printer.Text(b.String())
	if s.opts.Demo {
		s.printer.Head()
	}
}

// greetAgain prints the greeting for each line of input. It ends with the input or the process, because a read from a
// terminal cannot be interrupted.
func (s *system) greetAgain() {
	for lines := bufio.NewScanner(s.opts.Again); lines.Scan(); {
		s.greeting()
	}
}

// step returns a component that does something at the start and nothing afterwards.
func step(name string, do func(ctx context.Context) error) daemon.Component {
	return daemon.Component{Name: name, Run: func(ctx context.Context, ready func()) error {
		if err := do(ctx); err != nil {
			return err
		}
		ready()
		<-ctx.Done()
		return nil
	}}
}
