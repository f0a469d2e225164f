// Command delivery-worker carries events to hooks. `delivery-worker healthcheck` asks a running one whether it lives.
package main

import (
	deliveryworker "github.com/whisperer-oms/whisperer/services/delivery-worker"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

var version = "dev"

func main() { daemon.Main("delivery-worker", version, deliveryworker.Open) }
