package httpapi

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type (
	retriesInput struct {
		RetryCountdownConfig optional[object] `json:"retry_countdown_config,omitzero" doc:"As a hook has it; null for the default schedule"`
	}
	retriesOutput struct{ Body api.Timetable }
)

func (s *server) registerRetries() {
	register(s, route{role: usecase.Viewer, body: bodyOf[retriesInput](s)}, huma.Operation{
		OperationID: "preview-retries", Method: http.MethodPost, Path: hooksPath + "preview-retries/", Tags: []string{"Hooks"},
		Summary: "Preview a retry schedule",
	}, s.previewRetries)
}

func (s *server) previewRetries(_ context.Context, c *call, _ *noInput) (*retriesOutput, error) {
	var in retriesInput
	if err := decodeBody(c.body, &in); err != nil {
		return nil, err
	}
	countdown, err := webhook.ParseCountdown(json.RawMessage(in.RetryCountdownConfig.Value.rawJSON))
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
