// Package standalone runs the whole system in one process: NATS, PostgreSQL, subscription-api, delivery-worker, and a
// demo that shows events being delivered. It is for trying things out and for development; it keeps its data.
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

// What an Options is for most.
const (
	DefaultData   = "./.whisperer"
	DefaultListen = "127.0.0.1:8080"
)

// maxLog is how large the log of earlier starts may be before a new one is begun.
const maxLog = 16 << 20

// Options say what to run and where.
type Options struct {
	// Data is the folder that keeps everything from one start to the next.
	Data string
	// DatabaseURL and NATSURL are of running servers; empty for our own.
	DatabaseURL string
	NATSURL     string
	// NATSEnviron are the variables that say as whom to connect to NATSURL.
	NATSEnviron []string
	// Environ has OpenTelemetry's variables.
	Environ []string
	// Namespace is what streams and subjects begin with.
	Namespace string
	// Listen is the API's address, and must be free; empty for DefaultListen or the next free port.
	Listen string
	// AnyPort takes any free ports instead of the usual ones and those after them.
	AnyPort bool
	// Demo publishes a story and receives it.
	Demo bool
	// Speed is how fast the story goes; 1 is as it is told.
	Speed float64
	// Strict syncs every message to disk before it counts as stored.
	Strict bool
	// Version and Program are this program's, for the welcome.
	Version string
	Program string
	Out     io.Writer
	// Color says that Out is a terminal that shows colors.
	Color bool
	// Again prints the welcome again at each line that comes from it; nil for never. The demo's lines leave room for it to be read.
	Again io.Reader
}

// system is what runs. Each component sets its part before it is ready, and those after it use that.
type system struct {
	opts    Options
	data    *folder
	log     *zap.Logger
	key     string
	printer *receiver.Printer

	localDatabase *localpg.Server // nil where a URL was given
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

// Run runs everything until ctx ends or a signal arrives, then stops it in order. It returns ErrInUse where another one
// runs on the data folder, localpg.ErrNoBinaries where there is no PostgreSQL, and what failed otherwise.
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
		return nil // stopped while starting
	}
	return err
}

// run brings up the backends, then everything that needs them, and takes all down the other way round: worker, API,
// NATS, PostgreSQL.
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
	_ = os.Remove(s.data.path(urlFile)) // it is not there when the start failed
	return err
}

// stopBackend stops a backend and joins what goes wrong. After a second signal there is no time: the backends end with
// the process.
func stopBackend(err error, name string, stop stopper) error {
	if errors.Is(err, daemon.ErrForced) {
		return err
	}
	if stopErr := within(backendStop, stop); stopErr != nil {
		return errors.Join(err, fmt.Errorf("stop %s: %w", name, stopErr))
	}
	return err
}

// openLog continues the log, or begins a new one where it has become large.
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

// ensureToken returns an operator's token that the API accepts: the one in the folder, else a new one, which is what
// the first start needs and a start on another database.
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

// client calls the API as its operator.
func (s *system) client() (*client.Client, error) {
	return client.New(client.Options{URL: s.apiURL, Token: s.token, UserAgent: "whisperer-standalone/" + s.opts.Version})
}

// hooks is the component that makes the demo's hooks, before there is anything to deliver to them.
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

// receiver is the component behind the demo's hooks.
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
			return server.Close() // the worker has ended: nobody waits for an answer
		}
	}}
}

// greet is the component that tells where everything is, once everything is.
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

// greeting prints the welcome, and above the demo's lines the names of their columns.
func (s *system) greeting() {
	var b strings.Builder
	s.welcome(&b)
	s.printer.Text(b.String())
	if s.opts.Demo {
		s.printer.Head()
	}
}

// greetAgain greets at each line that is entered. It ends with the input, or with the process: a read from a terminal cannot be stopped.
func (s *system) greetAgain() {
	for lines := bufio.NewScanner(s.opts.Again); lines.Scan(); {
		s.greeting()
	}
}

// step is a component that does something at the start and nothing afterwards.
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
