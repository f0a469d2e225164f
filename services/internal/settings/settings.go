// Package settings has the settings that both services share.
package settings

import (
	"errors"
	"fmt"

	"github.com/whisperer-oms/whisperer/pkg/broker"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
)

// Shared are the settings that both services share.
type Shared struct {
	DatabaseURL  string `env:"DATABASE_URL,required,notEmpty" desc:"PostgreSQL, as postgres://user:password@host:port/database; with ?sslmode=disable if it has no TLS"`
	NATSURL      string `env:"NATS_URL" envDefault:"nats://127.0.0.1:4222" desc:"NATS servers, separated by commas"`
	MasterKey    string `env:"MASTER_KEY,required,notEmpty" desc:"keys that encrypt secrets: 32 bytes each in base64, separated by commas, the current one first"`
	PublicURL    string `env:"PUBLIC_URL" desc:"public URL of the API, such as https://hooks.example.com, used in links and by thin webhooks; if empty, links use the address of the request, and no hook can be thin"`
	EgressAllow  string `env:"EGRESS_ALLOW" desc:"private networks that target URLs may reach, as CIDRs separated by commas"`
	EgressPorts  string `env:"EGRESS_PORTS" envDefault:"80,443,8080,8443" desc:"ports that target URLs may use"`
	MaskedParams string `env:"MASKED_PARAMS" envDefault:"auth,code,key,pass,secret,sig,token" desc:"words that mark secret query parameters of target URLs, separated by commas: viewers do not see the values of parameters whose names contain one"`
	Namespace    string `env:"NAMESPACE" desc:"prefix of stream and subject names if several installations share a NATS account: a-z, 0-9, _ and -; empty for none"`
	Replicas     int    `env:"STREAM_REPLICAS" envDefault:"1" desc:"replicas of each stream, set when it is created: 1, or 3 or 5 on a cluster; change it later with whisperer migrate streams"`
	OMSMaxBytes  int64  `env:"OMS_MAX_BYTES" envDefault:"2147483648" desc:"maximum bytes of the event log, set when it is created; publishers get an error when it is full; change it later with whisperer migrate streams"`
	OwnMaxBytes  int64  `env:"OWN_MAX_BYTES" envDefault:"268435456" desc:"maximum bytes of the stream of callbacks and operational events, set when it is created; when it is full, they are published later"`
}

// Problems collects errors about variables.
type Problems []error

// Add adds err, if it is not nil, as a problem of the variable.
func (p *Problems) Add(name string, err error) {
	if err != nil {
		*p = append(*p, fmt.Errorf("%s%s: %w", daemon.Prefix, name, err))
	}
}

// Check returns the problems of the settings and of the credentials.
func (s *Shared) Check(nats *bus.Credentials) Problems {
	var p Problems
	p.Add("DATABASE_URL", daemon.ValidateURL(s.DatabaseURL, "postgres", "postgresql"))
	p.Add("NATS_URL", broker.ValidateURL(s.NATSURL))
	if err := nats.Validate(); err != nil {
		p = append(p, err)
	}
	_, err := seal.ParseRing(s.MasterKey)
	p.Add("MASTER_KEY", err)
	p.Add("PUBLIC_URL", daemon.ValidatePublicURL(s.PublicURL))
	_, err = egress.ParsePolicy(s.EgressAllow, s.EgressPorts)
	p.Add("EGRESS_ALLOW, WHISPERER_EGRESS_PORTS", err)
	p.Add("NAMESPACE", bus.Namespace(s.Namespace).Validate())
	if s.Replicas != 1 && s.Replicas != 3 && s.Replicas != 5 {
		p.Add("STREAM_REPLICAS", errors.New("must be 1, 3 or 5"))
	}
	if s.OMSMaxBytes < 0 || s.OwnMaxBytes < 0 {
		p.Add("OMS_MAX_BYTES, WHISPERER_OWN_MAX_BYTES", errors.New("must not be negative"))
	}
	return p
}

// Read returns the keys that seal secrets, and the policy on where webhooks may be sent.
func (s *Shared) Read() (*seal.Ring, egress.Policy, error) {
	ring, err := seal.ParseRing(s.MasterKey)
	if err != nil {
		return nil, egress.Policy{}, fmt.Errorf("read master key: %w", err)
	}
	policy, err := egress.ParsePolicy(s.EgressAllow, s.EgressPorts)
	if err != nil {
		return nil, egress.Policy{}, fmt.Errorf("read egress policy: %w", err)
	}
	return ring, policy, nil
}
