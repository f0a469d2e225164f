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

	Attempts bool `help:"Write their attempts instead, one per row."`
}

// Help has an example.
func (c *deliveryExport) Help() string {
	return "It writes all rows, newest first, with the columns of the console's exports.\n" +
		"whisperer delivery export --attempts --hook shop --state dead --since 7d > attempts.csv"
}

// Run writes the file to the standard output.
func (c *deliveryExport) Run(ctx context.Context, a *app) error {
	server, filter, err := c.find(ctx, a)
	if err != nil {
		return err
	}
	write := server.Deliveries.Export
	if c.Attempts {
		write = server.Deliveries.ExportAttempts
	}
	return a.export(func(format client.ExportFormat, out io.Writer) error { return write(ctx, filter, format, out) })
}

type auditExport struct {
	auditFlags
}

// Run writes the file to the standard output.
func (c *auditExport) Run(ctx context.Context, a *app) error {
	server, filter, err := c.find(a)
	if err != nil {
		return err
	}
	return a.export(func(format client.ExportFormat, out io.Writer) error {
		return server.Audit.Export(ctx, filter, format, out)
	})
}

// export writes a file in the format of the global flags.
func (a *app) export(write func(client.ExportFormat, io.Writer) error) error {
	format := client.CSV
	switch {
	case a.asJSON(), len(a.Columns) > 0, a.CSV && a.NDJSON:
		return usage("export writes CSV, or JSON lines with --ndjson; it takes no --json, --jq or --columns")
	case a.NDJSON:
		format = client.NDJSON
	}
	err := write(format, a.Out)
	if errors.Is(err, client.ErrBrokenOff) {
		return fmt.Errorf("the output is incomplete: %w", err)
	}
	return err
}
