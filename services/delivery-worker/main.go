package deliveryworker

import (
	"context"
	"fmt"
	"os"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

// Main is the program: it reads the configuration from the environment and runs a worker until a signal comes.
func Main(ctx context.Context, environ []string, version string) error {
	c, err := daemon.LoadConfig[Config](environ)
	if err != nil {
		return err
	}
	log, err := daemon.NewLogger(c.LogLevel, c.LogFormat, os.Stderr)
	if err != nil {
		return fmt.Errorf("make logger: %w", err)
	}
	for _, warning := range daemon.Unknown(environ) {
		log.Warn(warning)
	}
	traces, err := trace.New(ctx, trace.Options{Service: "whisperer-delivery-worker", Version: version, Environ: environ, Log: log})
	if err != nil {
		return err
	}
	s, err := New(ctx, c, version, log, traces)
	if err != nil {
		return err
	}
	return daemon.Run(ctx, log, s.Components()...)
}

// HealthCheck asks the worker on this machine, configured by the same environment, whether it lives.
func HealthCheck(ctx context.Context, environ []string, _ string) error {
	type config struct {
		HealthListen string `env:"HEALTH_LISTEN" envDefault:":9091"`
	}
	c, err := daemon.LoadConfig[config](environ)
	if err != nil {
		return err
	}
	return daemon.Probe(ctx, c.HealthListen)
}
