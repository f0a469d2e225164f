package attempt

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
)

// silence is a copier without listeners.
type silence map[string]bool

func (s silence) Wants(tenant string) bool { return s[tenant] }

func (silence) Copy([]*webhook.Due, *whispererv1.AttemptFact, []byte) {}

// BenchmarkPlainHook measures a hook that asks for nothing but a signature. It compares the worker's code with the
// same work without transforms, batches and listeners. The ratio is what hooks pay for features that others use.
func BenchmarkPlainHook(b *testing.B) {
	s := New(Options{Client: egress.NewClient(egress.Options{Policy: egress.Policy{Ports: []uint16{80}}}), Version: "1", Copier: silence{}})
	config, err := webhook.ParseConfig([]byte(`{}`))
	require.NoError(b, err)
	h := &webhook.Hook{ID: uuid.New(), Tenant: "acme", TargetURL: "http://example.com/", Config: config, Secrets: []webhook.Secret{{Value: "secret"}}}
	due := webhook.FirstDue(h, &webhook.Event{ID: "e-1", Tenant: "acme", Type: "order.created", PublishedAt: time.Now(), Data: []byte(`{"id":1042,"total":"12.50"}`)})
	p := s.prepare(h)
	now, ctx := time.Now(), context.Background()
	span := s.begin(&due, p)
	made := &whispererv1.AttemptFact{RequestHeaders: "A: b", Method: http.MethodPost}
	bare := func() error {
		body, err := envelope.NewBodies(due.Event).Get(h.Config.Format, h.Config.ContentFields)
		if err == nil {
			_, err = s.header(&due, p, content{Body: body}, now, span)
		}
		return err
	}
	whole := func() error {
		body, _, err := s.content(ctx, s.prepare(h), &due, envelope.NewBodies(due.Event))
		if err == nil {
			_, err = s.header(&due, p, body, now, span)
		}
		s.copy(&due, &body, made)
		return err
	}
	took := map[bool]time.Duration{}
	for i := 0; b.Loop(); i++ {
		for _, all := range []bool{i%2 == 0, i%2 != 0} { // alternate, because the second of the two finds warmer caches
			do := bare
			if all {
				do = whole
			}
			begin := time.Now()
			err := do()
			if took[all] += time.Since(begin); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(took[true])/float64(took[false]), "ratio")
}
