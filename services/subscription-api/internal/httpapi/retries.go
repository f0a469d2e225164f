package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type retriesOutput struct{ Body api.Timetable }

func (s *server) registerRetries() {
	register(s, route{role: usecase.Viewer, body: bodyAs[api.RetrySchedule](s, "RetriesInput")}, huma.Operation{
		OperationID: "preview-retries", Method: http.MethodPost, Path: hooksPath + "preview-retries/", Tags: []string{"Hooks"},
		Summary: "Preview a retry schedule",
	}, s.previewRetries)
}

func (s *server) previewRetries(_ context.Context, c *call, _ *noInput) (*retriesOutput, error) {
	in, _, err := decodeAs[api.RetrySchedule](c.body)
	if err != nil {
		return nil, err
	}
	countdown, err := webhook.ParseCountdown(in.RetryCountdownConfig)
	if err != nil {
		invalid := &webhook.ValidationError{}
		invalid.Collect("/retry_countdown_config", err)
		return nil, invalid
	}
	out := api.Timetable{Retries: []api.RetryStep{}}
	for _, step := range countdown.Timetable() {
		out.Retries = append(out.Retries, api.RetryStep{
			Retry: step.Retry, DelayMin: step.DelayMin.Seconds(), DelayMax: step.DelayMax.Seconds(),
			AfterMin: step.AfterMin.Seconds(), AfterMax: step.AfterMax.Seconds(),
		})
	}
	return &retriesOutput{Body: out}, nil
}
