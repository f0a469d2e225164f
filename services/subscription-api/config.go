package subscriptionapi

import (
	"errors"
	"fmt"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/broker"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
)

// Config is everything that an operator can set.
type Config struct {
	DatabaseURL              string        `env:"DATABASE_URL,required,notEmpty" desc:"PostgreSQL, as postgres://user:password@host:port/database; with ?sslmode=disable if it has no TLS"`
	NATSURL                  string        `env:"NATS_URL" envDefault:"nats://127.0.0.1:4222" desc:"NATS servers, separated by commas"`
	MasterKey                string        `env:"MASTER_KEY,required,notEmpty" desc:"keys that encrypt secrets: 32 bytes each in base64, separated by commas, the current one first"`
	Listen                   string        `env:"LISTEN" envDefault:":8080" desc:"listen address of the API"`
	HealthListen             string        `env:"HEALTH_LISTEN" envDefault:":9090" desc:"listen address of /healthz, /readyz and /metrics"`
	PublicURL                string        `env:"PUBLIC_URL" desc:"public URL of the API, such as https://hooks.example.com, used in links and by thin webhooks; if empty, links use the address of the request, and no hook can be thin"`
	EgressAllow              string        `env:"EGRESS_ALLOW" desc:"private networks that target URLs may reach, as CIDRs separated by commas"`
	EgressPorts              string        `env:"EGRESS_PORTS" envDefault:"80,443,8080,8443" desc:"ports that target URLs may use"`
	HookQuota                int           `env:"HOOK_QUOTA" envDefault:"10000" desc:"maximum number of hooks per tenant"`
	RequestRate              int           `env:"REQUEST_RATE" envDefault:"500" desc:"maximum requests per second, per token and instance; 0 for no limit"`
	RetryWait                time.Duration `env:"RETRY_WAIT" envDefault:"20s" desc:"how long hook_events/{id}/retry/ waits for the receiver's response before it answers 202; keep it below the timeout of a proxy in front"`
	MaskedParams             string        `env:"MASKED_PARAMS" envDefault:"auth,code,key,pass,secret,sig,token" desc:"words that mark secret query parameters of target URLs, separated by commas: viewers do not see the values of parameters whose names contain one"`
	WrongTokens              int           `env:"WRONG_TOKENS" envDefault:"20" desc:"burst of invalid tokens allowed per address, in requests and when signing in; then one every 3 seconds"`
	MaxConnections           int           `env:"MAX_CONNECTIONS" envDefault:"2048" desc:"maximum open connections to the API; beyond it, the connection that has kept the API waiting longest is closed"`
	MaxConnectionsPerAddress int           `env:"MAX_CONNECTIONS_PER_ADDRESS" envDefault:"512" desc:"maximum open connections per address; trusted proxies are exempt"`
	TrustedProxies           string        `env:"TRUSTED_PROXIES" desc:"networks of proxies in front of the API, as CIDRs separated by commas: their X-Forwarded-For and X-Forwarded-Proto are trusted, and they are exempt from the limit per address"`
	Namespace                string        `env:"NAMESPACE" desc:"prefix of stream and subject names if several installations share a NATS account: a-z, 0-9, _ and -; empty for none"`
	Replicas                 int           `env:"STREAM_REPLICAS" envDefault:"1" desc:"replicas of each stream, set when it is created: 1, or 3 or 5 on a cluster; change it later with whisperer migrate streams"`
	OMSMaxBytes              int64         `env:"OMS_MAX_BYTES" envDefault:"2147483648" desc:"maximum bytes of the event log, set when it is created; publishers get an error when it is full; change it later with whisperer migrate streams"`
	OwnMaxBytes              int64         `env:"OWN_MAX_BYTES" envDefault:"268435456" desc:"maximum bytes of the stream of callbacks and operational events, set when it is created; when it is full, they are published later"`
	ShutdownTimeout          time.Duration `env:"SHUTDOWN_TIMEOUT" envDefault:"25s" desc:"how long requests in progress may take to finish at shutdown"`

	daemon.Logging
	// NATS says as whom to connect to it, and whom to trust.
	NATS bus.Credentials `envPrefix:"NATS_"`
}

// Validate reports every variable that cannot be used.
func (c Config) Validate() error {
	var problems []error
	add := func(name string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("WHISPERER_%s: %w", name, err))
		}
	}
	add("DATABASE_URL", daemon.ValidateURL(c.DatabaseURL, "postgres", "postgresql"))
	add("NATS_URL", broker.ValidateURL(c.NATSURL))
	problems = append(problems, c.NATS.Validate())
	_, err := seal.ParseRing(c.MasterKey)
	add("MASTER_KEY", err)
	_, err = egress.ParsePolicy(c.EgressAllow, c.EgressPorts)
	add("EGRESS_ALLOW, WHISPERER_EGRESS_PORTS", err)
	add("NAMESPACE", bus.Namespace(c.Namespace).Validate())
	if c.OMSMaxBytes < 0 || c.OwnMaxBytes < 0 {
		add("OMS_MAX_BYTES, WHISPERER_OWN_MAX_BYTES", errors.New("must not be negative"))
	}
	add("PUBLIC_URL", daemon.ValidatePublicURL(c.PublicURL))
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
	_, err = daemon.ParseProxies(c.TrustedProxies)
	add("TRUSTED_PROXIES", err)
	if c.Replicas != 1 && c.Replicas != 3 && c.Replicas != 5 {
		add("STREAM_REPLICAS", errors.New("must be 1, 3 or 5"))
	}
	if c.ShutdownTimeout < 0 {
		add("SHUTDOWN_TIMEOUT", errors.New("must not be negative"))
	}
	return errors.Join(problems...)
}
