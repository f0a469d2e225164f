package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const (
	typeNDJSON = "application/x-ndjson"
	// manifestWrite bounds looking up and writing one page of a manifest.
	manifestWrite = time.Minute
)

type manifestInput struct {
	ID   string `path:"id" format:"uuid" doc:"The hook's id"`
	From string `query:"from" format:"date-time" doc:"Events published at this time or later; a day before to if absent"`
	To   string `query:"to" format:"date-time" doc:"Events published before this time; a minute ago if absent, because newer ones may not be recorded yet"`
}

func (s *server) registerManifest() {
	register(s, route{role: usecase.Viewer}, huma.Operation{
		OperationID: "get-hook-manifest", Method: http.MethodGet, Path: hooksPath + "{id}/manifest/", Tags: []string{tagDeliveries},
		Summary: "Stream the manifest of a hook's deliveries",
		Description: "NDJSON, oldest first: a ManifestLine for each delivery of an event published in the range, and finally a ManifestEnd with the count " +
			"and the SHA-256 of all preceding lines, signed with the hook's secret. Without that last line, the manifest is incomplete.",
	}, s.hookManifest)
	s.operation(http.MethodGet, hooksPath+"{id}/manifest/").Responses["200"] = &huma.Response{
		Description: "The manifest", Content: map[string]*huma.MediaType{typeNDJSON: {
			Schema: s.named("Manifest", &huma.Schema{
				Description: "A line of the manifest", OneOf: []*huma.Schema{bodyOf[api.ManifestLine](s), bodyOf[api.ManifestEnd](s)},
			}),
		}},
	}
}

func (s *server) hookManifest(ctx context.Context, c *call, in *manifestInput) (*huma.StreamResponse, error) {
	var r usecase.TimeRange
	var err error
	if r.From, err = usecase.ReadTime("from", in.From); err != nil {
		return nil, err
	}
	if r.To, err = usecase.ReadTime("to", in.To); err != nil {
		return nil, err
	}
	if r = usecase.ManifestRange(r, time.Now()); !r.From.Before(r.To) {
		return nil, badParameter("from", "must be before to")
	}
	m, err := s.Cases.Deliveries.NewManifest(ctx, &c.Caller, c.id, r)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) { s.streamManifest(humaecho.UnwrapV4(ctx).Response(), ctx.Context(), m) }}, nil
}

// errStopping says that the server stops before the response is complete.
var errStopping = errors.New("the server is stopping")

// streamManifest writes the manifest. Errors are reported in its last line, because the status has been sent already.
func (s *server) streamManifest(w http.ResponseWriter, ctx context.Context, m *usecase.Manifest) { //nolint:revive // the context is the request's
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", typeNDJSON)
	w.Header().Set("X-Accel-Buffering", "no") // otherwise proxies would buffer it all
	emit := func(lines []byte) error {
		select {
		case <-daemon.Stopping(ctx):
			return errStopping
		default:
		}
		_ = out.SetWriteDeadline(time.Now().Add(manifestWrite)) // the ResponseWriters of some tests have no deadlines
		if _, err := w.Write(lines); err != nil {
			return err
		}
		return out.Flush()
	}
	end, err := m.Write(ctx, emit)
	if err != nil {
		s.log.Warn("manifest not completed", zap.Error(err))
		end = api.ManifestEnd{Error: s.problem(ctx, err).Detail}
	}
	line, err := json.Marshal(&end)
	if err != nil {
		s.log.Error("failed to end manifest", zap.Error(err))
		return
	}
	_, _ = w.Write(append(line, '\n')) // the reader may have disconnected
}
