package console

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const (
	// maxExported is the maximum number of rows of a file.
	maxExported = 10_000
	// exportTimeout bounds the creation of a file.
	exportTimeout = 20 * time.Second
)

// file is a file to download.
type file struct {
	name, contentType string
	content           []byte
}

// export writes a list to a file, as comma-separated values or as JSON with one row per line.
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

// exportAttempts exports the attempts of a list's deliveries.
func (c *console) exportAttempts(ctx context.Context, v *visit) (reply, error) {
	filter, err := c.exported(ctx, v)
	if err != nil {
		return reply{}, err
	}
	return export(ctx, v, "attempts", c.Cases.Deliveries.ExportAttempts(&v.Caller, filter))
}

// exported returns the filter of the exported list.
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
