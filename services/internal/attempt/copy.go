package attempt

import (
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// Copier gets copies of requests for people who listen. It must not block.
type Copier interface {
	// Wants reports whether somebody listens to the tenant's requests.
	Wants(tenant string) bool
	// Copy takes a request of deliveries to one hook. It must not keep the fact, which the sender changes later; the
	// body never changes.
	Copy(dues []*webhook.Due, made *whispererv1.AttemptFact, body []byte)
}

// copy passes the request to listeners, unless nothing was sent.
func (s *Sender) copy(due *webhook.Due, body *content, made *whispererv1.AttemptFact) {
	if s.copier == nil || made.GetRequestHeaders() == "" || !s.copier.Wants(due.Hook.Tenant) {
		return
	}
	dues := body.batch
	if dues == nil {
		dues = []*webhook.Due{due}
	}
	s.copier.Copy(dues, made, body.Bytes)
}
