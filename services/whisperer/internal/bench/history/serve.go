package history

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/daemon"
	"github.com/whisperer-oms/whisperer/pkg/seal"
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
	service, err := subscriptionapi.New(ctx, config, w.options.Version, zap.NewNop(), nil)
	if err != nil {
		return nil, err
	}
	w.api = "http://" + service.Addr()
	serving, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	up := make(chan struct{})
	last := daemon.Component{Name: "up", Run: func(ctx context.Context, ready func()) error {
		close(up)
		ready()
		<-ctx.Done()
		return nil
	}}
	go func() { ended <- daemon.Run(serving, zap.NewNop(), append(service.Components(), last)...) }()
	stop = func() error {
		cancel()
		return <-ended
	}
	select {
	case <-up:
		return stop, nil
	case err := <-ended:
		cancel()
		return nil, fmt.Errorf("start API: %w", err)
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), stop())
	}
}
