// Package daemon is what every service shares at its start and its end: its main function, configuration from the
// environment, a logger, a registry of metrics, the health endpoints, and a run group that starts components in order and
// stops them in reverse.
//
//	func main() { daemon.Main("service", version, open) }
//
//	func open(ctx context.Context, config Config, p daemon.Process) ([]daemon.Component, error) {
//		health, err := daemon.NewHealth(ctx, config.HealthListen, daemon.NewRegistry(p.Version))
//		return []daemon.Component{health.Server(), database, worker, health.Gate()}, err
//	}
package daemon
