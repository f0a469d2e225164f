package history

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	subscriptionapi "github.com/whisperer-oms/whisperer/services/subscription-api"
)

// serve runs the API, without NATS.
func (w *world) serve(ctx context.Context) (stop func() error, err error) {
	config, err := daemon.LoadConfig[subscriptionapi.Config]([]string{
		"WHISPERER_DATABASE_URL=" + w.url, "WHISPERER_MASTER_KEY=" + seal.NewKey(), "WHISPERER_LISTEN=127.0.0.1:0",
		"WHISPERER_HEALTH_LISTEN=127.0.0.1:0", "WHISPERER_NATS_URL=nats://127.0.0.1:1", "WHISPERER_REQUEST_RATE=0",
	})
	if err != nil {
		return nil, err
	}
	service, err := subscriptionapi.New(ctx, config, daemon.Process{Version: w.options.Version, Log: zap.NewNop()})
	if err != nil {
		return nil, err
	}
	w.api = "http://" + service.Addr()
	if stop, err = daemon.Start(ctx, zap.NewNop(), service.Components()...); err != nil {
		return nil, fmt.Errorf("start API: %w", err)
	}
	return stop, nil
}
