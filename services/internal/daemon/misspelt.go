package daemon

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/whisperer-oms/whisperer/services/internal/edits"
)

// beside lists variables with Prefix that our programs know although no configuration has them: those of the command
// line, of containers and of tests. An entry that ends with an underscore matches all names that it begins.
func beside() []string {
	return []string{
		"URL", "NATS_MONITORING", "TOKEN", "TENANT", "PROFILE", "SECRET", "PGBIN", "WORKERS", "GRACE", "HEALTH_ADDR", "REQUEST_TIMEOUT", "UPDATE_GOLDEN", "TEST_", "FAULTS_",
	}
}

// others lists the variables of all services. Services usually share one environment, so a service must not take
// another one's variables for misspelt.
func others() []string {
	return []string{
		"DATABASE_URL", "NATS_URL", "MASTER_KEY", "LISTEN", "HEALTH_LISTEN", "PUBLIC_URL", "EGRESS_ALLOW", "EGRESS_PORTS", "HOOK_QUOTA", "REQUEST_RATE", "RETRY_WAIT",
		"MAX_CONNECTIONS", "MAX_CONNECTIONS_PER_ADDRESS", "TRUSTED_PROXIES", "WRONG_TOKENS", "MASKED_PARAMS",
		"NAMESPACE", "STREAM_REPLICAS", "OMS_MAX_BYTES", "OWN_MAX_BYTES", "SHUTDOWN_TIMEOUT", "LOG_LEVEL", "LOG_FORMAT", "WORKER", "SLOTS", "FILTER_BUDGET", "BREAKER_ATTEMPTS", "BREAKER_RATIO",
		"BREAKER_OPEN", "EVENT_AGE", "KEEP_PAYLOADS", "KEEP_RECORDS", "DISABLE_AFTER", "DISABLE_FAILURES", "DISABLE_SPAN", "SWEEP_AFTER",
		"HOUSEKEEP_EVERY", "METRICS_LABEL", "METRICS_TOP", "MEMORY_TARGET", "NATS_CREDS", "NATS_CREDS_FILE", "NATS_NKEY", "NATS_NKEY_FILE", "NATS_USER", "NATS_PASSWORD",
		"NATS_PASSWORD_FILE", "NATS_TOKEN", "NATS_TOKEN_FILE", "NATS_CLIENT_CERT", "NATS_CLIENT_CERT_FILE", "NATS_CLIENT_KEY", "NATS_CLIENT_KEY_FILE",
		"NATS_CA", "NATS_CA_FILE",
	}
}

// Unknown returns a message for each variable with Prefix that no program knows. The message suggests the most
// similar name.
func Unknown(environ []string) []string {
	known := slices.Concat(beside(), others())
	var warnings []string
	for _, variable := range environ {
		full, _, _ := strings.Cut(variable, "=")
		name, ours := strings.CutPrefix(full, Prefix)
		if !ours || slices.ContainsFunc(known, func(k string) bool { return k == name || strings.HasSuffix(k, "_") && strings.HasPrefix(name, k) }) {
			continue
		}
		nearest := slices.MinFunc(known, func(a, b string) int { return edits.Characters(name, a) - edits.Characters(name, b) })
		warning := full + " is no variable that Whisperer knows, and does nothing"
		if edits.Characters(name, nearest) <= max(2, len(name)/3) && !strings.HasSuffix(nearest, "_") {
			warning += fmt.Sprintf(": %s%s may be meant", Prefix, nearest)
		}
		warnings = append(warnings, warning)
	}
	return warnings
}

// ValidatePublicURL reports what is wrong with a base URL. An empty URL is valid.
func ValidatePublicURL(text string) error {
	u, err := url.Parse(text)
	if text != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "") {
		return errors.New("must be an http or https URL without query")
	}
	return nil
}

// ValidateURL reports what is wrong with a URL that must have one of the schemes. The error leaves out any password.
func ValidateURL(text string, schemes ...string) error {
	u, err := url.Parse(text)
	if err == nil && slices.Contains(schemes, u.Scheme) || err == nil && u.Scheme == "" && strings.Contains(text, "=") {
		return nil
	}
	return fmt.Errorf("must be a URL that begins with %s://user:password@host; characters such as @ and / in a password are written as %%40 and %%2F", schemes[0])
}
