package httpapi

import (
	"context"
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
	typeCSV = "text/csv"
	// exportWrite bounds looking up and writing one page of a file.
	exportWrite = time.Minute
)

// ExportFormat is the query parameter of all exports.
type ExportFormat struct {
	Format string `query:"format" enum:"csv,ndjson" doc:"Comma-separated values (RFC 4180) with a header line, or one JSON object per line; csv if absent"`
}

type (
	exportDeliveriesInput struct{ ExportFormat }
	exportAuditInput      struct{ ExportFormat }
)

func (f *ExportFormat) format() (usecase.ExportFormat, error) {
	switch format := usecase.ExportFormat(f.Format); format {
	case "":
		return usecase.CSV, nil
	case usecase.CSV, usecase.NDJSON:
		return format, nil
	default:
		return "", badParameter("format", "must be csv or ndjson")
	}
}

func (s *server) registerExports() {
	const whole = "Streams the whole list, newest first, without a limit. If the file cannot be completed, the response is cut off without its end, which clients report as an error."
	registerExport(s, usecase.Viewer, huma.Operation{
		OperationID: "export-deliveries", Path: deliveriesPath + "export/", Tags: []string{tagDeliveries}, Summary: "Export deliveries as a file",
		Description: whole + " The last seven days, unless from is set.", Parameters: params[api.DeliveryFilter](),
	}, s.exportDeliveries)
	registerExport(s, usecase.Viewer, huma.Operation{
		OperationID: "export-attempts", Path: deliveriesPath + "attempts/", Tags: []string{tagDeliveries}, Summary: "Export the attempts of deliveries as a file",
		Description: whole + " Attempts are without headers and bodies; deliveries come newest first, and the attempts of each in the order in which they were made.",
		Parameters:  params[api.DeliveryFilter](),
	}, s.exportAttempts)
	registerExport(s, usecase.Admin, huma.Operation{
		OperationID: "export-audit", Path: auditPath + "export/", Tags: []string{"Tokens and tenants"}, Summary: "Export the audit log as a file",
		Description: whole + " The last seven days, unless from is set.", Parameters: params[api.AuditFilter](),
	}, s.exportAudit)
}

// registerExport adds an operation that streams a file.
func registerExport[I any](s *server, role usecase.Role, op huma.Operation, handle func(context.Context, *call, *I) (*huma.StreamResponse, error)) {
	op.Method = http.MethodGet
	register(s, route{role: role, limit: usecase.SearchTimeout + 2*storeTimeout}, op, handle)
	s.operation(http.MethodGet, op.Path).Responses["200"] = &huma.Response{
		Description: "The file", Content: map[string]*huma.MediaType{
			typeCSV:    {Schema: &huma.Schema{Type: huma.TypeString}},
			typeNDJSON: {Schema: &huma.Schema{Type: huma.TypeObject, Description: "A row: one object per line, with the names from the CSV's header line"}},
		},
	}
}

func (in *exportDeliveriesInput) read(c *call) (f usecase.DeliveryFilter, format usecase.ExportFormat, err error) {
	if f, err = c.deliveryFilter(); err != nil {
		return f, format, err
	}
	format, err = in.format()
	return f, format, err
}

func (s *server) exportDeliveries(ctx context.Context, c *call, in *exportDeliveriesInput) (*huma.StreamResponse, error) {
	f, format, err := in.read(c)
	if err != nil {
		return nil, err
	}
	return s.export(ctx, "deliveries", format, s.Cases.Deliveries.Export(&c.Caller, f))
}

func (s *server) exportAttempts(ctx context.Context, c *call, in *exportDeliveriesInput) (*huma.StreamResponse, error) {
	f, format, err := in.read(c)
	if err != nil {
		return nil, err
	}
	return s.export(ctx, "attempts", format, s.Cases.Deliveries.ExportAttempts(&c.Caller, f))
}

func (s *server) exportAudit(ctx context.Context, c *call, in *exportAuditInput) (*huma.StreamResponse, error) {
	f, err := s.auditFilter(ctx, c)
	if err != nil {
		return nil, err
	}
	format, err := in.format()
	if err != nil {
		return nil, err
	}
	rows, err := s.Cases.Access.ExportAudit(ctx, &c.Caller, f)
	if err != nil {
		return nil, err
	}
	return s.export(ctx, "audit", format, rows)
}

// export streams a file. An error breaks off the response, because the status has been sent already.
func (s *server) export(ctx context.Context, name string, format usecase.ExportFormat, rows *usecase.Export) (*huma.StreamResponse, error) {
	if err := rows.Begin(ctx); err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		w, ctx := humaecho.UnwrapV4(hc).Response(), hc.Context()
		out := http.NewResponseController(w)
		kind := typeNDJSON
		if format == usecase.CSV {
			kind = typeCSV + "; charset=utf-8"
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+"."+string(format)+`"`)
		w.Header().Set("X-Accel-Buffering", "no")             // otherwise proxies would buffer it all
		_ = out.SetWriteDeadline(time.Now().Add(exportWrite)) // the ResponseWriters of some tests have no deadlines
		err := rows.Write(ctx, format, 0, w, func() error {
			select {
			case <-daemon.Stopping(ctx):
				return errStopping
			default:
			}
			_ = out.SetWriteDeadline(time.Now().Add(exportWrite))
			return out.Flush()
		})
		if err != nil {
			s.log.Warn("file not completed", zap.String("list", name), zap.Error(err))
			panic(http.ErrAbortHandler)
		}
	}}, nil
}
