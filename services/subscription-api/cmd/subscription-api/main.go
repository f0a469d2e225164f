// Command subscription-api serves the HTTP API. `subscription-api healthcheck` asks a running one whether it is ready.
package main

import (
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	subscriptionapi "github.com/whisperer-oms/whisperer/services/subscription-api"
)

var version = "dev"

func main() { daemon.Main("subscription-api", version, subscriptionapi.Open) }
