package standalone

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	deliveryworker "github.com/whisperer-oms/whisperer/services/delivery-worker"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	subscriptionapi "github.com/whisperer-oms/whisperer/services/subscription-api"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/demo"
)

// allowed is where target URLs may lead in addition to public addresses: to this machine, which in many places is ::1
// first.
const allowed = "127.0.0.1/32,::1/128"

// environment returns the services' configuration, in the form used in production.
func (s *system) environment(more ...string) []string {
	return slices.Concat(s.opts.NATSEnviron, []string{
		daemon.Prefix + "DATABASE_URL=" + s.databaseURL,
		daemon.Prefix + "NATS_URL=" + s.natsURL,
		daemon.Prefix + "NAMESPACE=" + s.opts.Namespace,
		daemon.Prefix + "MASTER_KEY=" + s.key,
		daemon.Prefix + "EGRESS_ALLOW=" + allowed,
	}, more)
}

// newAPI creates subscription-api, which listens from then on.
func (s *system) newAPI(ctx context.Context) ([]daemon.Component, error) {
	listen := s.opts.Listen
	if listen == "" {
		free, err := s.address(ctx, DefaultListen)
		if err != nil {
			return nil, err
		}
		listen = free
	}
	health, err := s.address(ctx, "127.0.0.1:9090")
	if err != nil {
		return nil, err
	}
	config, err := daemon.LoadConfig[subscriptionapi.Config](s.environment(
		daemon.Prefix+"LISTEN="+listen, daemon.Prefix+"HEALTH_LISTEN="+health, daemon.Prefix+"PUBLIC_URL="+publicURL(listen)))
	if err != nil {
		return nil, err
	}
	api, err := subscriptionapi.New(ctx, config, daemon.Process{Version: s.opts.Version, Environ: s.opts.Environ, Log: s.log.With(zap.String("part", "subscription-api"))})
	if err != nil {
		return nil, err
	}
	s.apiURL = "http://" + api.Addr()
	s.metrics = append(s.metrics, "http://"+api.HealthAddr()+"/metrics")
	return api.Components(), nil
}

// publicURL returns the URL of the address on this machine, or "" if it has no specific IP address or no fixed port.
func publicURL(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() || port == "0" {
		return ""
	}
	return "http://" + listen
}

// newWorker creates delivery-worker.
func (s *system) newWorker(ctx context.Context) ([]daemon.Component, error) {
	health, err := s.address(ctx, "127.0.0.1:9091")
	if err != nil {
		return nil, err
	}
	config, err := daemon.LoadConfig[deliveryworker.Config](s.environment(
		daemon.Prefix+"HEALTH_LISTEN="+health, daemon.Prefix+"WORKER=standalone", daemon.Prefix+"PUBLIC_URL="+s.apiURL))
	if err != nil {
		return nil, err
	}
	s.natsAs = config.NATS
	worker, err := deliveryworker.New(ctx, config, daemon.Process{Version: s.opts.Version, Environ: s.opts.Environ, Log: s.log.With(zap.String("part", "delivery-worker"))})
	if err != nil {
		return nil, err
	}
	s.metrics = append(s.metrics, "http://"+worker.HealthAddr()+"/metrics")
	return worker.Components(), nil
}

// address returns the usual address or one with the next free port, or any free port if AnyPort is set.
func (s *system) address(ctx context.Context, usual string) (string, error) {
	if s.opts.AnyPort {
		return "127.0.0.1:0", nil
	}
	return freeAddress(ctx, usual)
}

// story returns the component that publishes the demo's events to NATS, as an order management system would.
func (s *system) story() daemon.Component {
	return daemon.Component{Name: "demo story", Run: func(ctx context.Context, ready func()) error {
		nats, err := bus.Connect(ctx, bus.Options{URL: s.natsURL, Name: "demo-oms", Namespace: bus.Namespace(s.opts.Namespace), Credentials: s.natsAs, Log: s.log})
		if err != nil {
			return err
		}
		defer nats.Close()
		ready()
		now := time.Now()
		story := demo.New(uint64(now.UnixNano()), now)
		timer := time.NewTimer(0)
		defer timer.Stop()
		<-timer.C
		for {
			event := story.Next()
			timer.Reset(time.Duration(float64(event.After) / s.opts.Speed))
			select {
			case <-timer.C:
			case <-ctx.Done():
				return nil
			}
			if err := s.publish(ctx, nats, event); err != nil && ctx.Err() == nil {
				s.log.Warn("failed to publish demo event", zap.String("event_type", event.Type), zap.Error(err))
			}
		}
	}}
}

func (s *system) publish(ctx context.Context, nats *bus.Bus, event demo.Event) error {
	now := time.Now()
	e := client.Event{
		ID: uuid.NewString(), Type: event.Type, Time: now.UTC(), Entity: event.Entity, Context: event.Context, Data: event.Data,
	}
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	s.origins.add(e.ID, e.Entity, now)
	return nats.PublishEvents(ctx, []bus.Outgoing{{Tenant: webhook.DefaultTenant, Type: e.Type, ID: e.ID, Body: body}})
}
