// Command subscription-api serves the HTTP API. `subscription-api healthcheck` asks a running one whether it is
// ready.
package main

import (
	"os"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	subscriptionapi "github.com/whisperer-oms/whisperer/services/subscription-api"
)

// version is set by the build; see daemon.Version.
var version string

func main() {
	os.Exit(daemon.Main("subscription-api", version, os.Args[1:], os.Environ(), subscriptionapi.New))
}
