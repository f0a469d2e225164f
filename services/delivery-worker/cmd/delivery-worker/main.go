// Command delivery-worker carries events to hooks. `delivery-worker healthcheck` asks a running one whether it lives.
package main

import (
	"context"
	"fmt"
	"os"

	deliveryworker "github.com/whisperer-oms/whisperer/services/delivery-worker"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

var version = "dev"

func main() {
	ctx := context.Background()
	run := deliveryworker.Main
	if len(os.Args) > 1 && os.Args[1] == "healthcheck" {
		run = deliveryworker.HealthCheck
	}
	if err := run(ctx, os.Environ(), daemon.Version(version)); err != nil {
		fmt.Fprintln(os.Stderr, "delivery-worker:", err)
		os.Exit(1)
	}
}
