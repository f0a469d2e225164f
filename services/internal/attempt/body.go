package attempt

import (
	"context"
	"errors"
	"fmt"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
)

// content is the body to send, with the headers that were computed from the event.
type content struct {
	envelope.Body

	headers []webhook.Header
	// batch are the deliveries in the body if the hook gets several at once.
	batch []*webhook.Due
}

// content produces what is sent. If that fails, class classifies the error.
func (s *Sender) content(ctx context.Context, p *prepared, due *webhook.Due, bodies *envelope.Bodies) (content, webhook.ErrorClass, error) {
	switch {
	case p.err != nil:
		return content{}, webhook.ClassRequest, p.err
	case p.transform == nil:
		body, err := s.encode(due.Hook, bodies, due.Event, &filter.Made{})
		return content{Body: body}, webhook.ClassRequest, err
	}
	made, err := s.maker.Make(ctx, p.transform, due.Hook, due.Event)
	if err != nil {
		return content{}, webhook.ClassTransform, err
	}
	body, err := s.encode(due.Hook, bodies, due.Event, &made)
	return content{Body: body, headers: made.Headers}, webhook.ClassRequest, err
}

// judge turns a success by status into a failure if the hook's condition does not hold, or cannot be evaluated.
func (s *Sender) judge(ctx context.Context, p *prepared, due *webhook.Due, r *egress.Response) {
	if p.condition == nil || !r.Success() {
		return
	}
	var holds bool
	var err error
	body := webhook.DecodeBody(r.Body, r.BodyCut, egress.HeaderOf(r.Header))
	// the answer is there, so it is judged even if the worker is stopping
	_ = s.maker.Spend(context.WithoutCancel(ctx), due.Event.Tenant, func() (units uint64) {
		holds, units, err = p.condition.Holds(r.Status, body.Bytes, body.Truncated)
		return units
	})
	switch {
	case err != nil:
		r.Class, r.Err = webhook.ClassCondition, fmt.Errorf("the receiver answered %d, and whether that counts as delivered is not known: %w", r.Status, err)
	case !holds:
		r.Class, r.Err = webhook.ClassCondition, fmt.Errorf("the receiver answered %d, and the hook's config.success.condition is false", r.Status)
	}
}

// unmetered is a Maker without a budget, for callers that wait for the result.
type unmetered struct{}

// Spend implements Maker.
func (unmetered) Spend(_ context.Context, _ string, evaluate func() uint64) error {
	evaluate()
	return nil
}

// Make implements Maker.
func (unmetered) Make(_ context.Context, t *filter.Transform, _ *webhook.Hook, e *webhook.Event) (filter.Made, error) {
	return t.Make(e)
}

// Body returns the body that the hook would get for an event. If the hook gets batches, it is that of a batch of one.
func (s *Sender) Body(h *webhook.Hook, e *webhook.Event) (envelope.Body, error) {
	t, err := filter.NewTransform(h)
	var made filter.Made
	if err == nil && t != nil {
		made, err = t.Make(e)
	}
	if err != nil {
		return envelope.Body{}, err
	}
	body, err := s.encode(h, envelope.NewBodies(e), e, &made)
	if h.Config.Batch != nil && err == nil {
		body = envelope.Join(h.Config.Format, []envelope.Body{body})
	}
	return body, err
}

// errNoBase says why the format thin cannot be produced.
var errNoBase = errors.New("the format thin needs WHISPERER_PUBLIC_URL, which is not set here")

func (s *Sender) encode(h *webhook.Hook, bodies *envelope.Bodies, e *webhook.Event, made *filter.Made) (envelope.Body, error) {
	switch {
	case h.Config.Format == webhook.FormatThin && s.publicURL == "":
		return envelope.Body{}, errNoBase
	case h.Config.Format == webhook.FormatThin:
		return envelope.Thin(e, s.publicURL), nil
	case made.Data == nil:
		return bodies.Get(h.Config.Format, h.Config.ContentFields)
	}
	changed := *e
	changed.Data = made.Data
	return envelope.Encode(h.Config.Format, &changed)
}
