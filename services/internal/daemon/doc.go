// Package daemon is what every service shares at its start and its end: configuration from the environment, a logger, a
// registry of metrics, the health endpoints, and a run group that starts components in order and stops them in reverse.
//
//	config, err := daemon.LoadConfig[Config](os.Environ())
//	log, err := daemon.NewLogger(config.LogLevel, config.LogFormat, os.Stderr)
//	health, err := daemon.NewHealth(ctx, config.HealthAddr, daemon.NewRegistry(version))
//	err = daemon.Run(ctx, log, health.Server(), database, worker, health.Gate())
package daemon
