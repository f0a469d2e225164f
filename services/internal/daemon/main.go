package daemon

import (
	"cmp"
	"context"
	"fmt"
	"os"

	"go.uber.org/zap"
)

// Logging is the part of a service's configuration that Main reads, for the configuration to embed.
type Logging struct {
	LogLevel  string `env:"LOG_LEVEL" envDefault:"info" desc:"debug, info, warn or error"`
	LogFormat string `env:"LOG_FORMAT" envDefault:"json" desc:"json or console"`
}

// Process is what a service is given beside its configuration.
type Process struct {
	Version string
	// Environ has the settings that are others', such as OpenTelemetry's; without any there are no traces.
	Environ []string
	Log     *zap.Logger
}

// Main is the main function of a service, and returns its exit code: it runs what open makes, with the configuration that the
// environment gives, until a signal comes. With the argument healthcheck it asks a running one, configured by the same
// environment, whether it is ready. version is what was linked in.
func Main[C any, S interface{ Components() []Component }](
	name, version string, args, environ []string, open func(context.Context, C, Process) (S, error),
) (code int) {
	ctx := context.Background()
	run := func() error { return runService(ctx, Process{Version: Version(version), Environ: environ}, open) }
	if len(args) > 0 && args[0] == "healthcheck" {
		run = func() error { return healthCheck[C](ctx, environ) }
	}
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
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
	service, err := open(ctx, config, p)
	if err != nil {
		return err
	}
	return Run(ctx, p.Log, service.Components()...)
}

func healthCheck[C any](ctx context.Context, environ []string) error {
	config, err := LoadConfig[struct { // what else a service needs is not needed for this
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
