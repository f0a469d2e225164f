package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"go.uber.org/zap"
)

// Logging is the part of a configuration that Main reads. Services embed it.
type Logging struct {
	LogLevel  string `env:"LOG_LEVEL" envDefault:"info" desc:"debug, info, warn or error"`
	LogFormat string `env:"LOG_FORMAT" envDefault:"json" desc:"json or console"`
}

// Process is what a service gets in addition to its configuration.
type Process struct {
	Version string
	// Environ has the settings of other libraries, such as OpenTelemetry's; if it is empty there are no traces.
	Environ []string
	Log     *zap.Logger
}

// errUsage says that the command line has an unknown argument.
var errUsage = errors.New("unknown argument")

// Main is the main function of a service and returns its exit code. It loads the configuration from the environment,
// calls open, and runs the result until a signal arrives. With the argument healthcheck it asks a running service,
// configured by the same environment, whether it is ready; --help and --version print. version is the linked version.
func Main[C any, S interface{ Components() []Component }](
	name, version string, args, environ []string, open func(context.Context, C, Process) (S, error),
) (code int) {
	ctx := context.Background()
	var err error
	switch strings.Join(args, " ") {
	case "":
		err = runService(ctx, Process{Version: Version(version), Environ: environ}, open)
	case "healthcheck":
		err = healthCheck[C](ctx, environ)
	case "--help", "-h", "help":
		err = help[C](os.Stdout, name)
	case "--version", "version":
		_, err = fmt.Fprintln(os.Stdout, name, Version(version))
	default:
		err = fmt.Errorf("%w %q; see %s --help", errUsage, args, name)
	}
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 2
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

// help prints the service's usage and the variables that configure it.
func help[C any](out io.Writer, name string) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "Usage: %s              run until SIGTERM\n       %s healthcheck  exit 0 if a running one is ready\n       %s --version\n\n", name, name, name)
	fmt.Fprintln(t, "It is configured by environment variables, traces by those of OpenTelemetry:")
	for _, v := range Describe[C]() {
		fallback := v.Default
		if v.Required {
			fallback = "required"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", v.Name, fallback, v.Description)
	}
	return t.Flush()
}

func runService[C any, S interface{ Components() []Component }](ctx context.Context, p Process, open func(context.Context, C, Process) (S, error)) error {
	config, err := LoadConfig[C](p.Environ)
	if err != nil {
		return err
	}
	logging, err := LoadConfig[Logging](p.Environ)
	if err != nil {
		return err
	}
	if p.Log, err = NewLogger(logging.LogLevel, logging.LogFormat, os.Stderr); err != nil {
		return err
	}
	for _, warning := range Unknown(p.Environ) {
		p.Log.Warn(warning)
	}
	for _, problem := range Published(p.Environ) {
		p.Log.Error(problem)
	}
	service, err := open(ctx, config, p)
	if err != nil {
		return err
	}
	return Run(ctx, p.Log, service.Components()...)
}

func healthCheck[C any](ctx context.Context, environ []string) error {
	config, err := LoadConfig[struct { // the healthcheck needs no other part of the configuration
		HealthListen string `env:"HEALTH_LISTEN"`
	}](environ)
	if err != nil {
		return err
	}
	for _, v := range Describe[C]() {
		if v.Name == Prefix+"HEALTH_LISTEN" {
			config.HealthListen = cmp.Or(config.HealthListen, v.Default)
		}
	}
	return Probe(ctx, config.HealthListen)
}
