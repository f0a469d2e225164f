// Command subscription-api serves the HTTP API. `subscription-api healthcheck` asks a running one whether it is ready.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	subscriptionapi "github.com/whisperer-oms/whisperer/services/subscription-api"
)

var version = "dev"

func main() {
	run := subscriptionapi.Main
	if len(os.Args) > 1 && os.Args[1] == "healthcheck" {
		run = subscriptionapi.HealthCheck
	}
	if err := run(context.Background(), os.Environ(), daemon.Version(version)); err != nil {
		fmt.Fprintln(os.Stderr, "subscription-api:", err)
		os.Exit(1)
	}
}
