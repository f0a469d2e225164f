package console

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const (
	// maxExported is how many rows a file has at the most.
	maxExported = 10_000
	// exportTimeout bounds the making of a file.
	exportTimeout = 20 * time.Second
)

// file is something to be kept instead of shown.
type file struct {
	name, contentType string
	content           []byte
}

// export makes a file of a list, as comma-separated values or as JSON, a row on a line.
func export(ctx context.Context, v *visit, name string, rows *usecase.Export) (reply, error) {
	f, format := file{name: name + ".csv", contentType: "text/csv; charset=utf-8"}, usecase.CSV
	if v.form.Get("format") == "ndjson" {
		f, format = file{name: name + ".ndjson", contentType: "application/x-ndjson"}, usecase.NDJSON
	}
	out := &bytes.Buffer{}
	if err := rows.Write(ctx, format, maxExported, out, func() error { return nil }); err != nil {
		return reply{}, err
	}
	f.content = out.Bytes()
	return reply{status: http.StatusOK, file: &f}, nil
}

func (c *console) exportDeliveries(ctx context.Context, v *visit) (reply, error) {
	filter, err := c.exported(ctx, v)
	if err != nil {
		return reply{}, err
	}
	return export(ctx, v, "deliveries", c.Cases.Deliveries.Export(&v.Caller, filter))
}

// exportAttempts writes the attempts of the deliveries of a list.
func (c *console) exportAttempts(ctx context.Context, v *visit) (reply, error) {
	filter, err := c.exported(ctx, v)
	if err != nil {
		return reply{}, err
	}
	return export(ctx, v, "attempts", c.Cases.Deliveries.ExportAttempts(&v.Caller, filter))
}

// exported is the filter of the list that is exported.
func (c *console) exported(ctx context.Context, v *visit) (usecase.DeliveryFilter, error) {
	query := readDeliveryQuery(v.form)
	chosen, err := c.chooseDeliveries(ctx, v, &query)
	if err == nil && chosen.Problem != "" {
		err = errBadForm
	}
	return chosen.DeliveryFilter, err
}

func (c *console) exportAudit(ctx context.Context, v *visit) (reply, error) {
	who, filter, problem, err := c.auditOf(ctx, v)
	switch {
	case err != nil:
		return reply{}, err
	case problem != "":
		return reply{}, errBadForm
	}
	rows, err := c.Cases.Access.ExportAudit(ctx, &who, filter)
	if err != nil {
		return reply{}, err
	}
	return export(ctx, v, "audit", rows)
}
