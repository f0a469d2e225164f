package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const retentionPath = root + "/retention/"

type retentionOutput struct{ Body api.Retention }

func (s *server) registerRetention() {
	register(s, route{role: usecase.Admin}, huma.Operation{
		OperationID: "list-retention", Method: http.MethodGet, Path: retentionPath, Tags: []string{tagErasures},
		Summary: "List retention policies of event types",
	}, func(ctx context.Context, c *call, _ *struct{}) (*retentionOutput, error) {
		return renderRetention(s.Cases.Erasures.Retention(ctx, &c.Caller))
	})
	register(s, route{role: usecase.Admin, body: bodyAs[api.RetentionFields](s, "RetentionInput")}, huma.Operation{
		OperationID: "set-retention", Method: http.MethodPost, Path: retentionPath, Tags: []string{tagErasures},
		Summary:     "Set the retention of an event type's payloads",
		Description: "If several policies match a type, the shortest applies; none can exceed the installation's retention of payloads. Older payloads are erased in the next rounds of the housekeeper.",
	}, func(ctx context.Context, c *call, _ *struct{}) (*retentionOutput, error) {
		in, sent, err := decodeAs[api.RetentionFields](c.body)
		if err != nil {
			return nil, err
		}
		return renderRetention(s.Cases.Erasures.SetRetention(ctx, &c.Caller, in.EventType, sentAt(sent, &in.Days)))
	})
}

func renderRetention(list []usecase.RetentionPolicy, err error) (*retentionOutput, error) {
	if err != nil {
		return nil, err
	}
	out := &retentionOutput{Body: api.Retention{Results: make([]api.RetentionPolicy, len(list))}}
	for i, p := range list {
		out.Body.Results[i] = api.RetentionPolicy{EventType: p.EventType, Days: p.Days, CreatedDate: p.CreatedAt}
	}
	return out, nil
}
