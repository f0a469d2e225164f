package attempt

import (
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// Copier gets copies of requests, for people who listen. No request waits for it.
type Copier interface {
	// Wants reports whether somebody listens to the tenant's requests.
	Wants(tenant string) bool
	// Copy takes a request of deliveries to one hook. The fact is the sender's again when it returns; the body never changes.
	Copy(dues []*webhook.Due, made *whispererv1.AttemptFact, body []byte)
}

// copy gives the request to whoever listens, unless nothing was sent.
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
