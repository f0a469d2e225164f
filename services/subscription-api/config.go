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
	DatabaseURL              string        `env:"DATABASE_URL,required,notEmpty" desc:"Postgres, as postgres://user:password@host:port/database; with ?sslmode=disable if it has no TLS"`
	NATSURL                  string        `env:"NATS_URL" envDefault:"nats://127.0.0.1:4222" desc:"NATS servers, separated by commas"`
	MasterKey                string        `env:"MASTER_KEY,required,notEmpty" desc:"keys that seal secrets: base64 of 32 bytes each, separated by commas, the current one first"`
	Listen                   string        `env:"LISTEN" envDefault:":8080" desc:"address of the API"`
	HealthListen             string        `env:"HEALTH_LISTEN" envDefault:":9090" desc:"address of /healthz, /readyz and /metrics"`
	PublicURL                string        `env:"PUBLIC_URL" desc:"where others reach the API, such as https://hooks.example.com: links in answers and the URLs of the format thin begin with it; without it links begin with what a request was sent to, and no hook can be thin"`
	EgressAllow              string        `env:"EGRESS_ALLOW" desc:"private networks that target URLs may reach, as CIDRs separated by commas"`
	EgressPorts              string        `env:"EGRESS_PORTS" envDefault:"80,443,8080,8443" desc:"ports that target URLs may have"`
	HookQuota                int           `env:"HOOK_QUOTA" envDefault:"10000" desc:"hooks that a tenant may have"`
	RequestRate              int           `env:"REQUEST_RATE" envDefault:"500" desc:"requests a second that each token may make to one instance; 0 for any number"`
	RetryWait                time.Duration `env:"RETRY_WAIT" envDefault:"20s" desc:"how long the predecessor's retry of a delivery waits for the receiver's answer before it answers 202; less than the timeout of a proxy in front"`
	MaskedParams             string        `env:"MASKED_PARAMS" envDefault:"auth,code,key,pass,secret,sig,token" desc:"words in the names of query parameters of target URLs whose values viewers do not see, separated by commas"`
	WrongTokens              int           `env:"WRONG_TOKENS" envDefault:"20" desc:"tokens that are none, at the API or when signing in, that may come from one address at once; then one in 3 seconds"`
	MaxConnections           int           `env:"MAX_CONNECTIONS" envDefault:"2048" desc:"connections to the API that may be open at once; for a new one the one that has kept us waiting longest is closed"`
	MaxConnectionsPerAddress int           `env:"MAX_CONNECTIONS_PER_ADDRESS" envDefault:"512" desc:"those of one address that is not a trusted proxy"`
	TrustedProxies           string        `env:"TRUSTED_PROXIES" desc:"networks of proxies in front of the API, as CIDRs separated by commas: their X-Forwarded-For tells the client and their X-Forwarded-Proto whether it used TLS, and they may have any share of the connections"`
	Namespace                string        `env:"NAMESPACE" desc:"what the names of streams and subjects begin with, where several installations share a NATS account: a-z, 0-9, _ and -; empty for none"`
	Replicas                 int           `env:"STREAM_REPLICAS" envDefault:"1" desc:"copies of each stream where it is made: 1, or 3 on a cluster; whisperer migrate streams changes it later"`
	OMSMaxBytes              int64         `env:"OMS_MAX_BYTES" envDefault:"2147483648" desc:"size in bytes of the event log where it is made; publishers get an error when it is full; whisperer migrate streams changes it later"`
	OwnMaxBytes              int64         `env:"OWN_MAX_BYTES" envDefault:"268435456" desc:"size in bytes of the stream of callbacks and operational events where it is made; what has no room is published later"`
	ShutdownTimeout          time.Duration `env:"SHUTDOWN_TIMEOUT" envDefault:"25s" desc:"how long requests under way may take to finish at the end"`

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
