package attempt

import (
	"context"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
)

// SendBatch sends several deliveries to the same hook in one request, like Send does for one, and returns the
// attempts in the same order. Deliveries whose content cannot be produced are left out of the request.
func (s *Sender) SendBatch(ctx context.Context, dues []*webhook.Due, bodies []*envelope.Bodies) (attempts []*whispererv1.AttemptFact, results []webhook.Result, cancelled bool) {
	hook := dues[0].Hook
	p := s.prepare(hook)
	attempts, results = make([]*whispererv1.AttemptFact, len(dues)), make([]webhook.Result, len(dues))
	batch, parts, ids := make([]*webhook.Due, 0, len(dues)), make([]envelope.Body, 0, len(dues)), make([]uuid.UUID, 0, len(dues))
	for i, due := range dues {
		part, class, err := s.content(ctx, p, due, bodies[i])
		switch {
		case err != nil && class == webhook.ClassTransform && ctx.Err() != nil:
			return nil, nil, true
		case err != nil:
			attempts[i], results[i] = unsent(due, class, err), webhook.Result{Class: class}
		default:
			batch, parts, ids = append(batch, due), append(parts, part.Body), append(ids, due.ID)
		}
	}
	if len(batch) == 0 {
		return attempts, results, false
	}
	all := *batch[0]
	all.ID = webhook.BatchID(hook.ID, ids)
	for _, due := range batch {
		all.Attempts, all.Replay = max(all.Attempts, due.Attempts), all.Replay || due.Replay
	}
	span := s.begin(&all, p)
	attempt, result, cancelled := s.made(ctx, p, &all, content{Body: envelope.Join(hook.Config.Format, parts), batch: batch}, span)
	finish(span, result, cancelled)
	if cancelled {
		return nil, nil, true
	}
	for i, due := range dues {
		if attempts[i] == nil {
			attempts[i], results[i] = proto.CloneOf(attempt), result
			attempts[i].Number = number(due)
		}
	}
	return attempts, results, false
}

// list writes the headers that list the contents of a batch, in its order.
func list(h *egress.Header, batch []*webhook.Due) {
	ids, sequences := make([]string, len(batch)), make([]string, len(batch))
	for i, due := range batch {
		ids[i], sequences[i] = due.ID.String(), strconv.FormatUint(due.Event.Seq.Number(), 10)
	}
	h.Set(headerDelivery, strings.Join(ids, ","))
	if batch[0].Event.Seq != 0 { // a test has no published event
		h.Set(headerSequence, strings.Join(sequences, ","))
	}
}
