package subscriptionapi

import (
	"errors"
	"time"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/settings"
)

// Config is the configuration that operators set.
type Config struct {
	settings.Shared

	Listen                   string        `env:"LISTEN" envDefault:":8080" desc:"listen address of the API"`
	HealthListen             string        `env:"HEALTH_LISTEN" envDefault:":9090" desc:"listen address of /healthz, /readyz and /metrics"`
	HookQuota                int           `env:"HOOK_QUOTA" envDefault:"10000" desc:"maximum number of hooks per tenant"`
	RequestRate              int           `env:"REQUEST_RATE" envDefault:"500" desc:"maximum requests per second, per token and instance; 0 for no limit"`
	RetryWait                time.Duration `env:"RETRY_WAIT" envDefault:"20s" desc:"how long hook_events/{id}/retry/ waits for the receiver's response before it answers 202; keep it below the timeout of a proxy in front"`
	WrongTokens              int           `env:"WRONG_TOKENS" envDefault:"20" desc:"burst of invalid tokens allowed per address, in requests and when signing in; then one every 3 seconds"`
	MaxConnections           int           `env:"MAX_CONNECTIONS" envDefault:"2048" desc:"maximum open connections to the API; beyond it, the connection that has kept the API waiting longest is closed"`
	MaxConnectionsPerAddress int           `env:"MAX_CONNECTIONS_PER_ADDRESS" envDefault:"512" desc:"maximum open connections per address; trusted proxies are exempt"`
	TrustedProxies           string        `env:"TRUSTED_PROXIES" desc:"networks of proxies in front of the API, as CIDRs separated by commas: their X-Forwarded-For and X-Forwarded-Proto are trusted, and they are exempt from the limit per address"`
	ShutdownTimeout          time.Duration `env:"SHUTDOWN_TIMEOUT" envDefault:"25s" desc:"how long requests in progress may take to finish at shutdown"`

	daemon.Logging
	// NATS says as which user to connect to NATS, and which servers to trust.
	NATS bus.Credentials `envPrefix:"NATS_"`
}

// Validate reports every invalid variable.
func (c Config) Validate() error {
	problems := c.Check(&c.NATS)
	add := problems.Add
	if c.HookQuota < 1 {
		add("HOOK_QUOTA", errors.New("must be at least 1"))
	}
	if c.RequestRate < 0 {
		add("REQUEST_RATE", errors.New("must not be negative"))
	}
	if c.WrongTokens < 1 {
		add("WRONG_TOKENS", errors.New("must be at least 1"))
	}
	if c.MaxConnections < 1 {
		add("MAX_CONNECTIONS", errors.New("must be at least 1"))
	}
	if c.MaxConnectionsPerAddress < 1 {
		add("MAX_CONNECTIONS_PER_ADDRESS", errors.New("must be at least 1"))
	}
	_, err := daemon.ParseProxies(c.TrustedProxies)
	add("TRUSTED_PROXIES", err)
	if c.ShutdownTimeout < 0 {
		add("SHUTDOWN_TIMEOUT", errors.New("must not be negative"))
	}
	return errors.Join(problems...)
}
