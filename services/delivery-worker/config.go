package deliveryworker

import (
	"errors"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/settings"
)

// Config holds all settings of the worker.
type Config struct {
	settings.Shared

	HealthListen    string        `env:"HEALTH_LISTEN" envDefault:":9091" desc:"listen address of /healthz, /readyz and /metrics"`
	Worker          string        `env:"WORKER" desc:"name of this worker in the ledger; if empty, the host's name and the process id"`
	Slots           int           `env:"SLOTS" envDefault:"512" desc:"deliveries that one worker makes at once, not counting those that wait for their hook or take over 250 ms"`
	FilterBudget    int64         `env:"FILTER_BUDGET" envDefault:"10000000" desc:"cost units per second that one worker spends on the filters of one tenant (a core does some 20 million); the tenant's events beyond that wait; 0 for no limit"`
	BreakerAttempts int           `env:"BREAKER_ATTEMPTS" envDefault:"10" desc:"minimum attempts within a minute before a hook's circuit breaker can open"`
	BreakerRatio    float64       `env:"BREAKER_RATIO" envDefault:"0.7" desc:"fraction of these attempts that must fail to open it, 0 to 1"`
	BreakerOpen     time.Duration `env:"BREAKER_OPEN" envDefault:"10s" desc:"how long a circuit breaker stays open before one attempt probes the receiver"`
	EventAge        time.Duration `env:"EVENT_AGE" envDefault:"168h" desc:"how long the event log keeps processed events"`
	KeepPayloads    time.Duration `env:"KEEP_PAYLOADS" envDefault:"720h" desc:"how long PostgreSQL keeps events' payloads"`
	KeepRecords     time.Duration `env:"KEEP_RECORDS" envDefault:"2160h" desc:"how long PostgreSQL keeps events, deliveries and attempts"`
	DisableAfter    time.Duration `env:"DISABLE_AFTER" envDefault:"120h" desc:"how long all attempts of a hook must fail before it is disabled"`
	DisableFailures int           `env:"DISABLE_FAILURES" envDefault:"20" desc:"minimum number of failed attempts before a hook is disabled"`
	DisableSpan     time.Duration `env:"DISABLE_SPAN" envDefault:"12h" desc:"minimum time between the first and the last of these failures"`
	SweepAfter      time.Duration `env:"SWEEP_AFTER" envDefault:"5m" desc:"how overdue an attempt must be before its delivery is looked for and repaired"`
	HousekeepEvery  time.Duration `env:"HOUSEKEEP_EVERY" envDefault:"1m" desc:"interval at which the housekeeper checks partitions, the event log, lost deliveries and failing hooks"`
	ShutdownTimeout time.Duration `env:"SHUTDOWN_TIMEOUT" envDefault:"25s" desc:"how long deliveries in progress may take to finish at shutdown"`
	MetricsLabel    string        `env:"METRICS_LABEL" desc:"hook label by whose value metrics count attempts, for as many values as tenants; empty for none"`
	MetricsTop      int           `env:"METRICS_TOP" envDefault:"20" desc:"number of hooks, and of tenants, that metrics name, those with the most; the rest are counted as other; 0 to 1000"`
	MemoryTarget    int64         `env:"MEMORY_TARGET" envDefault:"218103808" desc:"bytes of memory that a worker tries to stay below; it uses more if its hooks need it; 0 for no target; GOMEMLIMIT and GOGC take precedence"`

	daemon.Logging
	// NATS holds the credentials for NATS, and the certificate authorities to trust.
	NATS bus.Credentials `envPrefix:"NATS_"`
}

// Validate reports every setting that cannot be used.
func (c Config) Validate() error {
	problems := c.Check(&c.NATS)
	add := problems.Add
	if c.Slots < 1 || c.Slots > 1<<16 {
		add("SLOTS", errors.New("must be from 1 to 65536"))
	}
	if c.BreakerAttempts < 1 || c.BreakerRatio <= 0 || c.BreakerRatio > 1 || c.BreakerOpen <= 0 {
		add("BREAKER_ATTEMPTS, WHISPERER_BREAKER_RATIO, WHISPERER_BREAKER_OPEN", errors.New("must be positive, the ratio at most 1"))
	}
	for name, d := range map[string]time.Duration{
		"EVENT_AGE": c.EventAge, "KEEP_PAYLOADS": c.KeepPayloads, "KEEP_RECORDS": c.KeepRecords, "DISABLE_AFTER": c.DisableAfter,
		"HOUSEKEEP_EVERY": c.HousekeepEvery, "SWEEP_AFTER": c.SweepAfter,
	} {
		if d <= 0 {
			add(name, errors.New("must be positive"))
		}
	}
	if c.FilterBudget < 0 {
		add("FILTER_BUDGET", errors.New("must not be negative"))
	}
	if c.MetricsTop < 0 || c.MetricsTop > 1000 {
		add("METRICS_TOP", errors.New("must be from 0 to 1000"))
	}
	if c.MetricsLabel != "" && !webhook.IsLabelName(c.MetricsLabel) {
		add("METRICS_LABEL", errors.New("must be the name of a label: 1 to 63 of a-z, 0-9, _ and -, which begins with a letter"))
	}
	if c.MemoryTarget < 0 {
		add("MEMORY_TARGET", errors.New("must not be negative"))
	}
	if c.ShutdownTimeout < 0 {
		add("SHUTDOWN_TIMEOUT", errors.New("must not be negative"))
	}
	return errors.Join(problems...)
}
