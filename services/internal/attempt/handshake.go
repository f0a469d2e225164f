package attempt

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
)

// HandshakeTimeout bounds a handshake.
const HandshakeTimeout = 5 * time.Second

// Handshake asks the receiver at the URL whether it agrees to get requests from origin, a host name. The error
// explains what the receiver answered instead, or is ctx's. The request contains none of the hook's secrets except
// its TLS client certificate.
func (s *Sender) Handshake(ctx context.Context, h *webhook.Hook, url, origin string) error {
	target, err := s.client.Prepare(url)
	if err == nil && url == h.TargetURL {
		target, err = s.client.WithTLS(target, h.Config.TLS)
	}
	if err != nil {
		return err
	}
	header := egress.Header{}
	for _, line := range []webhook.Header{{Name: headerAccept, Value: "*/*"}, {Name: headerAgent, Value: s.userAgent}, {Name: webhook.HeaderRequestOrigin, Value: origin}} {
		header.Set(line.Name, line.Value)
	}
	r := s.client.Do(ctx, egress.Request{Target: target, Method: http.MethodOptions, Header: header, Timeout: HandshakeTimeout})
	answer := r.Header.Values(webhook.HeaderAllowedOrigin)
	switch {
	case r.Cancelled:
		return ctx.Err()
	case r.Status == 0:
		return fmt.Errorf("it did not answer: %w", r.Err)
	case r.Status < 200 || r.Status > 299:
		return fmt.Errorf("it answered %d", r.Status)
	case len(answer) == 0:
		return fmt.Errorf("it answered %d without that header", r.Status)
	case !webhook.AllowedOrigin(answer, origin):
		return errors.New("it allows only another origin")
	}
	return nil
}
