// Package daemon has what all services share for starting and stopping: the main function, configuration from the
// environment, a logger, a registry of metrics, the health endpoints, and a run group that starts components in order
// and stops them in reverse.
//
//	func main() { os.Exit(daemon.Main("service", version, os.Args[1:], os.Environ(), New)) }
//
//	func New(ctx context.Context, config Config, p daemon.Process) (*Service, error)
//
//	func (s *Service) Components() []daemon.Component {
//		return []daemon.Component{s.health.Server(), s.database, s.worker, s.health.Gate()}
//	}
package daemon
