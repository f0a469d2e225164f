package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/labstack/echo/v4"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const (
	typeEventStream = "text/event-stream"
	// relayWrite is how long a client may fail to read.
	relayWrite = 10 * time.Second
	// admitEvery is the interval of checking that the token is still valid.
	admitEvery = 2 * time.Second
	// maxRelaySeconds is the maximum lifetime of a connection.
	maxRelaySeconds = 3600
	// maxRelayTypes bounds the event types in one relay's filter.
	maxRelayTypes = 50
)

type relayInput struct {
	Hook      string   `query:"hook" format:"uuid" doc:"Only requests to this hook"`
	EventType string   `query:"event_type" doc:"Only requests with events of this type or pattern; several separated by commas"`
	Seconds   intParam `query:"seconds" doc:"End after this many seconds, 1 to 3600; 3600 if absent"`
}

func (s *server) registerRelay() {
	const path = root + "/relay/"
	register(s, route{role: usecase.Editor, limit: 2 * storeTimeout}, huma.Operation{
		OperationID: "relay-deliveries", Method: http.MethodGet, Path: path, Tags: []string{tagDeliveries},
		Summary: "Stream requests to receivers as they are made",
		Description: "Server-sent events with a RelayMessage as data: a copy of a request with its exact body and signature, as whisperer listen --relay " +
			"shows and forwards it. Deliveries to receivers neither change nor wait: requests that cannot be copied, or are not read, fast enough " +
			"are left out, and a message says how many. Nothing is kept for clients that are not connected.",
	}, s.relay)
	s.operation(http.MethodGet, path).Responses["200"] = &huma.Response{
		Description: "Messages, until the connection ends", Content: map[string]*huma.MediaType{typeEventStream: {
			Schema: s.named("RelayMessages", &huma.Schema{
				Type: huma.TypeString, Description: "Server-sent events with RelayMessage as their data", Extensions: map[string]any{"contentSchema": bodyOf[api.RelayMessage](s)},
			}),
		}},
	}
}

// filter parses the parameters.
func (in *relayInput) filter() (f usecase.RelayFilter, life time.Duration, err error) {
	life = maxRelaySeconds * time.Second
	if in.Seconds != "" {
		n, err := strconv.Atoi(string(in.Seconds))
		if err != nil || n < 1 || n > maxRelaySeconds {
			return f, 0, badParameter("seconds", "must be a whole number from 1 to "+strconv.Itoa(maxRelaySeconds))
		}
		life = time.Duration(n) * time.Second
	}
	if f.Hook, err = usecase.ReadID("hook", in.Hook); err != nil || in.EventType == "" {
		return f, life, err
	}
	names := strings.Split(in.EventType, ",")
	if len(names) > maxRelayTypes {
		return f, 0, badParameter("event_type", "names more than "+strconv.Itoa(maxRelayTypes)+" types")
	}
	for _, name := range names {
		types, err := usecase.ReadTypes(strings.TrimSpace(name))
		if err != nil {
			return f, 0, err
		}
		f.EventTypes = append(f.EventTypes, types...)
	}
	return f, life, nil
}

func (s *server) relay(ctx context.Context, c *call, in *relayInput) (*huma.StreamResponse, error) {
	f, life, err := in.filter()
	if err != nil {
		return nil, err
	}
	r, err := s.Cases.Deliveries.OpenRelay(ctx, &c.Caller, f)
	switch {
	case errors.Is(err, webhook.ErrNotFound):
		return nil, newProblem(http.StatusNotFound, "Tenant "+c.Tenant+" has no hook with this id.")
	case err != nil:
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		defer r.Close()
		s.streamRelay(humaecho.UnwrapV4(ctx), r, life)
	}}, nil
}

// streamRelay writes what the relay gets until its time is over, the client leaves or stops reading, the server
// stops, or the token becomes invalid.
func (s *server) streamRelay(c echo.Context, r *usecase.Relay, life time.Duration) {
	h := c.Response().Header()
	h.Set("Content-Type", typeEventStream)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // otherwise proxies would buffer it all
	gone := c.Request().Context()
	ctx, cancel := context.WithTimeoutCause(gone, life, errRelayLife)
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		select {
		case <-daemon.Stopping(ctx):
			stop(errStopping)
		case <-ctx.Done():
		}
	}()
	err := s.followRelay(ctx, c, r)
	if gone.Err() != nil {
		return
	}
	reason := s.problem(gone, err).Detail
	for _, known := range []error{errRelayLife, errStopping} {
		if errors.Is(err, known) {
			reason = "The relay ends: " + known.Error() + "."
		}
	}
	if text, err := json.Marshal(&api.RelayMessage{End: reason}); err == nil {
		_ = writeRelayed(c, text) // the client may have disconnected
	}
}

// errRelayLife says that a connection has reached its maximum lifetime.
var errRelayLife = errors.New("the connection has lived as long as one may")

// followRelay writes until there is a reason to stop.
func (s *server) followRelay(ctx context.Context, c echo.Context, r *usecase.Relay) error {
	admitted := time.Now()
	for data := []byte(nil); ; {
		if err := writeRelayed(c, data); err != nil {
			return err
		}
		if time.Since(admitted) >= admitEvery {
			if err := s.mayStillRelay(c.Request()); err != nil {
				return err
			}
			admitted = time.Now()
		}
		var err error
		if data, err = r.Next(ctx); err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

// mayStillRelay authenticates the listener again, because the token may have been revoked. If that cannot be
// determined now, the next check decides.
func (s *server) mayStillRelay(r *http.Request) error {
	who, err := s.guard.admit(r)
	var refused *Problem
	switch {
	case errors.As(err, &refused):
		return refused
	case err == nil && !who.Token.Role.Covers(usecase.Editor):
		return unauthorized()
	}
	return nil
}

// writeRelayed writes a message or, if there is none, a sign that the connection is alive.
func writeRelayed(c echo.Context, data []byte) error {
	out := http.NewResponseController(c.Response())
	_ = out.SetWriteDeadline(time.Now().Add(relayWrite)) // the ResponseWriters of some tests have no deadlines
	text := []byte(":\n\n")
	if data != nil {
		text = append(append([]byte("data: "), data...), "\n\n"...) // JSON has no line feeds
	}
	if _, err := c.Response().Write(text); err != nil {
		return err
	}
	return out.Flush()
}
