// Package testenv gives tests a real PostgreSQL and a real nats-server: each test a database, and a JetStream, of its own.
//
// WHISPERER_TEST_ENV says where they come from:
//
//	url     servers that run already: WHISPERER_TEST_DATABASE_URL (of a role that may create databases) and
//	        WHISPERER_TEST_NATS_URL. That nats-server must be the tests' alone: its streams are deleted at the start
//	        of every test that uses it, and such tests run one after the other, over all test binaries of the machine.
//	docker  containers, of WHISPERER_TEST_POSTGRES_IMAGE and WHISPERER_TEST_NATS_IMAGE.
//	local   the PostgreSQL binaries of the machine (see package localpg) and an embedded nats-server.
//
// Unset, a service whose URL is given comes from there; otherwise PostgreSQL comes from Docker where an engine answers,
// else from the machine, and nats-server is embedded, since that takes four milliseconds. A service that cannot be had fails the test with what to install; no
// test is ever skipped for it.
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

// sources returns what WHISPERER_TEST_ENV allows. Where that is not set: the server of the URL variable, and no other,
// or else the given ones.
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

// required is an environment variable without which a source cannot be used.
func required(name string) (string, error) {
	value := os.Getenv(name)
	if value == "" {
		return "", fmt.Errorf("%s is not set", name)
	}
	return value, nil
}

// image is the container image that a variable names, or the given one.
func image(variable, otherwise string) string {
	if name := os.Getenv(variable); name != "" {
		return name
	}
	return otherwise
}

// Main runs a package's tests and then ends the PostgreSQL that they shared. Its result is the exit status.
func Main(m *testing.M) int {
	status := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "testenv:", err)
		return max(status, 1)
	}
	return status
}
