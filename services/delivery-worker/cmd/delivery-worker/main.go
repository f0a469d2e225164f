// Command delivery-worker carries events to hooks. `delivery-worker healthcheck` asks a running one whether it lives.
package main

import (
	"os"

	deliveryworker "github.com/whisperer-oms/whisperer/services/delivery-worker"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

// version is set by the build; see daemon.Version.
var version string

func main() {
	os.Exit(daemon.Main("delivery-worker", version, os.Args[1:], os.Environ(), deliveryworker.New))
}
