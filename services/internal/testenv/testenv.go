// Package testenv provides tests with a real PostgreSQL and a real nats-server: a database and a JetStream for each
// test.
//
// WHISPERER_TEST_ENV says where they come from:
//
//	url     running servers: WHISPERER_TEST_DATABASE_URL (of a role that may create databases) and
//	        WHISPERER_TEST_NATS_URL. That nats-server must not be used for anything else: every test that uses it
//	        first deletes its streams. Such tests run one after the other, over all test binaries of the machine.
//	docker  containers, of WHISPERER_TEST_POSTGRES_IMAGE and WHISPERER_TEST_NATS_IMAGE.
//	local   the PostgreSQL binaries of the machine (see package localpg) and an embedded nats-server.
//
// If it is not set, a service whose URL is given comes from there. Otherwise PostgreSQL comes from Docker if an
// engine answers, else from the machine; nats-server is embedded, because that takes four milliseconds. If a service
// is not available, the test fails and says what to install. No test is ever skipped for that.
//
// A package whose tests use PostgreSQL ends its server in TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
package testenv

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

// source is where a service comes from.
type source string

const (
	fromURL    source = "url"
	fromDocker source = "docker"
	fromLocal  source = "local"
)

// sources returns the sources that WHISPERER_TEST_ENV allows. If that is not set, it returns only the URL if its
// variable is set, and otherwise the given sources.
func sources(urlVariable string, otherwise ...source) ([]source, error) {
	wanted := source(os.Getenv("WHISPERER_TEST_ENV"))
	switch {
	case wanted == "" && os.Getenv(urlVariable) != "":
		return []source{fromURL}, nil
	case wanted == "":
		return otherwise, nil
	case slices.Contains([]source{fromURL, fromDocker, fromLocal}, wanted):
		return []source{wanted}, nil
	default:
		return nil, fmt.Errorf("WHISPERER_TEST_ENV=%s is none of url, docker, local", wanted)
	}
}

// required returns an environment variable, or an error if it is not set.
func required(name string) (string, error) {
	value := os.Getenv(name)
	if value == "" {
		return "", fmt.Errorf("%s is not set", name)
	}
	return value, nil
}

// image returns the container image that a variable names, or the given default.
func image(variable, otherwise string) string {
	if name := os.Getenv(variable); name != "" {
		return name
	}
	return otherwise
}

// Main runs a package's tests and then ends the PostgreSQL server that they shared. It returns the exit code.
func Main(m *testing.M) int {
	status := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "testenv:", err)
		return max(status, 1)
	}
	return status
}
