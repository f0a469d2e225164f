package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/whisperer-oms/whisperer/pkg/client"
)

type deliveryExport struct {
	deliverySearch

	Attempts bool `help:"Write their attempts instead, one to a row."`
}

// Help has an example.
func (c *deliveryExport) Help() string {
	return "Rows are written as they come, newest first, however many they are, and have what the console's files have.\n" +
		"whisperer delivery export --attempts --hook shop --state dead --since 7d > attempts.csv"
}

// Run writes the file to the standard output.
func (c *deliveryExport) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	filter, err := c.filter(ctx, server)
	if err != nil {
		return err
	}
	write := server.ExportDeliveries
	if c.Attempts {
		write = server.ExportAttempts
	}
	return a.export(func(format client.ExportFormat, out io.Writer) error { return write(ctx, filter, format, out) })
}

type auditExport struct {
	auditFlags
}

// Run writes the file to the standard output.
func (c *auditExport) Run(ctx context.Context, a *app) error {
	filter, err := c.filter()
	if err != nil {
		return err
	}
	server, err := a.client()
	if err != nil {
		return err
	}
	return a.export(func(format client.ExportFormat, out io.Writer) error {
		return server.ExportAudit(ctx, filter, format, out)
	})
}

// export writes a file in the format that the global flags say.
func (a *app) export(write func(client.ExportFormat, io.Writer) error) error {
	format := client.CSV
	switch {
	case a.asJSON(), len(a.Columns) > 0, a.CSV && a.NDJSON:
		return usage("a file is written as --csv, which needs not be said, or as --ndjson; --json, --jq and --columns are for lists")
	case a.NDJSON:
		format = client.NDJSON
	}
	err := write(format, a.Out)
	if errors.Is(err, client.ErrBrokenOff) {
		return fmt.Errorf("what was written is not all: %w", err)
	}
	return err
}
