package httpapi

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

type (
	retriesInput struct {
		RetryCountdownConfig optional[object] `json:"retry_countdown_config,omitzero" doc:"As a hook has it; null for the default schedule"`
	}
	retryStep struct {
		Retry    int     `json:"retry" doc:"Counts from 1"`
		DelayMin float64 `json:"delay_min" doc:"The shortest wait after the attempt before, in seconds"`
		DelayMax float64 `json:"delay_max" doc:"The longest wait after the attempt before, in seconds"`
		AfterMin float64 `json:"after_min" doc:"The earliest time since the first attempt, in seconds"`
		AfterMax float64 `json:"after_max" doc:"The latest time since the first attempt, in seconds"`
	}
	timetable struct {
		Retries []retryStep `json:"retries" nullable:"false" doc:"The retries that a delivery which always fails gets"`
	}
	retriesOutput struct{ Body timetable }
)

func (s *server) registerRetries() {
	register(s, route{role: store.Viewer, body: bodyOf[retriesInput](s)}, huma.Operation{
		OperationID: "preview-retries", Method: http.MethodPost, Path: hooksPath + "preview-retries/", Tags: []string{"Hooks"},
		Summary: "See the timetable of a retry_countdown_config, before anything is saved",
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
	out := timetable{Retries: []retryStep{}}
	for _, step := range countdown.Timetable() {
		out.Retries = append(out.Retries, retryStep{
			Retry: step.Retry, DelayMin: step.DelayMin.Seconds(), DelayMax: step.DelayMax.Seconds(),
			AfterMin: step.AfterMin.Seconds(), AfterMax: step.AfterMax.Seconds(),
		})
	}
	return &retriesOutput{Body: out}, nil
}
