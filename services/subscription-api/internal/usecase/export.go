package usecase

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

const (
	// exportPage is the number of rows per look-up.
	exportPage = 500
	// sharePatience is how long each page of a stream waits for the caller's share of look-ups, and shareAgain the
	// interval of asking for it.
	sharePatience, shareAgain = 30 * time.Second, 200 * time.Millisecond
)

// ExportFormat is the format of an exported file.
type ExportFormat string

// Formats of files: comma-separated values (RFC 4180) with a header line, and JSON with one row per line.
const (
	CSV    ExportFormat = "csv"
	NDJSON ExportFormat = "ndjson"
)

// Export writes a complete list, newest first. It proceeds page by page, so it needs no more memory than one page.
type Export struct {
	cases   *core
	caller  Caller
	columns []string
	page    func(ctx context.Context, at Page) (exportedPage, error)
	// first is the first page, once it has been looked up.
	first *exportedPage
}

// exportedPage has the values of some rows, by column, and where the next page begins; nil after the last page.
type exportedPage struct {
	rows [][]any
	next *Position
}

// column is a column of a file: its name, and how to get its value from a row.
type column[T any] struct {
	name  string
	value func(*T) any
}

func newExport[T any](s *core, c *Caller, columns []column[T], position func(*T) Position, list func(context.Context, Page) (Scanned[T], error)) *Export {
	e := &Export{cases: s, caller: *c, columns: make([]string, len(columns))}
	for i := range columns {
		e.columns[i] = columns[i].name
	}
	e.page = func(ctx context.Context, at Page) (p exportedPage, err error) {
		found, err := list(ctx, at)
		if err != nil {
			return p, err
		}
		for i := range found.List {
			row := make([]any, len(columns))
			for c := range columns {
				row[c] = columns[c].value(&found.List[i])
			}
			p.rows = append(p.rows, row)
		}
		if p.next = found.Reached; p.next == nil && found.More && len(found.List) > 0 {
			last := position(&found.List[len(found.List)-1])
			p.next = &last
		}
		return p, nil
	}
	return e
}

// Begin looks up the first page, so that errors in the request are known before anything is written.
func (e *Export) Begin(ctx context.Context) error {
	p, err := e.shared(ctx, Page{Limit: exportPage}, e.cases.LookUp)
	e.first = &p
	return err
}

// Write writes up to most rows, or all if most is 0. It takes the caller's share of look-ups for each page anew, and
// holds none while it writes to out. It calls flush after each page.
func (e *Export) Write(ctx context.Context, format ExportFormat, most int, out io.Writer, flush func() error) error {
	buffered := bufio.NewWriter(out)
	write := e.jsonRows(buffered)
	if format != NDJSON {
		write = e.csvRows(buffered)
	}
	if err := write(nil); err != nil {
		return err
	}
	if e.first == nil {
		if err := e.Begin(ctx); err != nil {
			return err
		}
	}
	rows, p := 0, *e.first
	for {
		for _, row := range p.rows {
			if most > 0 && rows == most {
				p.next = nil
				break
			}
			rows++
			if err := write(row); err != nil {
				return err
			}
		}
		if err := errors.Join(buffered.Flush(), flush()); err != nil {
			return err
		}
		if p.next == nil {
			return nil
		}
		var err error
		if p, err = e.shared(ctx, Page{Limit: exportPage, Older: p.next}, e.cases.waitForShare); err != nil {
			return err
		}
	}
}

// shared looks up a page within the caller's share of look-ups.
func (e *Export) shared(ctx context.Context, at Page, share func(context.Context, *Caller) (func(), error)) (exportedPage, error) {
	release, err := share(ctx, &e.caller)
	if err != nil {
		return exportedPage{}, err
	}
	defer release()
	return daemon.Within(ctx, SearchTimeout+storeTimeout, func(ctx context.Context) (exportedPage, error) { return e.page(ctx, at) })
}

// waitForShare waits for the caller's share of look-ups, so that a stream that has begun is not aborted because of
// another look-up.
func (s *core) waitForShare(ctx context.Context, c *Caller) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, sharePatience)
	defer cancel()
	for {
		release, err = s.LookUp(ctx, c)
		if !errors.Is(err, daemon.ErrShare) && !errors.Is(err, daemon.ErrBusy) {
			return release, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(shareAgain):
		}
	}
}

func (e *Export) jsonRows(out io.Writer) func([]any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return func(row []any) error {
		if row == nil { // without a header line
			return nil
		}
		fields := make(map[string]any, len(row))
		for i, value := range row {
			fields[e.columns[i]] = value
		}
		return encoder.Encode(fields)
	}
}

func (e *Export) csvRows(out io.Writer) func([]any) error {
	w := csv.NewWriter(out)
	w.UseCRLF = true
	cells := make([]string, len(e.columns))
	return func(row []any) error {
		copy(cells, e.columns)
		for i, value := range row {
			cells[i] = cellOf(value)
		}
		if err := w.Write(cells); err != nil {
			return err
		}
		w.Flush()
		return w.Error()
	}
}

// cellOf formats a value for a cell. It prefixes an apostrophe to what a spreadsheet would take for a formula.
func cellOf(value any) string {
	var text string
	switch v := value.(type) {
	case string:
		text = v
	case int:
		return strconv.Itoa(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case json.RawMessage:
		text = string(v)
	}
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

// Export exports the tenant's deliveries.
func (s *Deliveries) Export(c *Caller, f DeliveryFilter) *Export {
	columns := []column[webhook.Delivery]{
		{"id", func(d *webhook.Delivery) any { return d.ID.String() }},
		{"webhook", func(d *webhook.Delivery) any { return d.HookID.String() }},
		{"event", func(d *webhook.Delivery) any { return d.EventID }},
		{"event_type", func(d *webhook.Delivery) any { return d.EventType }},
		{"entity", func(d *webhook.Delivery) any { return d.Entity }},
		{"state", func(d *webhook.Delivery) any { return string(d.State) }},
		{"reason", func(d *webhook.Delivery) any { return string(d.Reason) }},
		{"attempts", func(d *webhook.Delivery) any { return d.Attempts }},
		{"status", func(d *webhook.Delivery) any { return d.LastStatus }},
		{"error", func(d *webhook.Delivery) any { return string(d.LastError) }},
		{"published", func(d *webhook.Delivery) any { return d.PublishedAt }},
		{"changed", func(d *webhook.Delivery) any { return d.UpdatedAt }},
	}
	return newExport(s.core, c, columns, func(d *webhook.Delivery) Position { return Position{At: d.PublishedAt, ID: d.ID} },
		func(ctx context.Context, at Page) (Scanned[webhook.Delivery], error) {
			return s.List(ctx, c, f, at)
		})
}

// tried is an attempt with its delivery.
type tried struct {
	webhook.Attempt

	delivery *webhook.Delivery
}

// ExportAttempts exports the attempts of the tenant's deliveries.
func (s *Deliveries) ExportAttempts(c *Caller, f DeliveryFilter) *Export {
	mask := s.MaskFor(c)
	columns := []column[tried]{
		{"delivery", func(t *tried) any { return t.DeliveryID.String() }},
		{"webhook", func(t *tried) any { return t.HookID.String() }},
		{"event", func(t *tried) any { return t.delivery.EventID }},
		{"event_type", func(t *tried) any { return t.delivery.EventType }},
		{"entity", func(t *tried) any { return t.delivery.Entity }},
		{"attempt", func(t *tried) any { return t.Number }},
		{"started", func(t *tried) any { return t.StartedAt }},
		{"milliseconds", func(t *tried) any { return int(t.Duration.Milliseconds()) }},
		{"outcome", func(t *tried) any { return string(t.Outcome) }},
		{"status", func(t *tried) any { return t.Status }},
		{"error_class", func(t *tried) any { return string(t.Class) }},
		{"error", func(t *tried) any { return mask.Attempt(t.Attempt).Error }},
		{"method", func(t *tried) any { return t.Method }},
		{"url", func(t *tried) any { return mask.URL(t.URL) }},
	}
	return newExport(s.core, c, columns, func(t *tried) Position { return Position{At: t.delivery.PublishedAt, ID: t.delivery.ID} },
		func(ctx context.Context, at Page) (Scanned[tried], error) {
			found, err := s.List(ctx, c, f, at)
			if err != nil {
				return Scanned[tried]{}, err
			}
			attempts, err := s.AttemptsOf(ctx, c, found.List)
			return attemptsPage(&found, attempts), err
		})
}

// attemptsPage returns the attempts of a page of deliveries. The next page continues after the last delivery, even if
// that has no attempts.
func attemptsPage(found *Scanned[webhook.Delivery], attempts []webhook.Attempt) Scanned[tried] {
	of := map[uuid.UUID]*webhook.Delivery{}
	for i := range found.List {
		of[found.List[i].ID] = &found.List[i]
	}
	page := Scanned[tried]{Reached: found.Reached}
	for i := range attempts {
		page.List = append(page.List, tried{Attempt: attempts[i], delivery: of[attempts[i].DeliveryID]})
	}
	if n := len(found.List); n > 0 && found.More && found.Reached == nil {
		page.Reached = &Position{At: found.List[n-1].PublishedAt, ID: found.List[n-1].ID}
	}
	return page
}

// ExportAudit exports the audit entries in the caller's scope.
func (s *Access) ExportAudit(ctx context.Context, c *Caller, f AuditFilter) (*Export, error) {
	names, err := s.ActorNames(ctx, c.Scope())
	if err != nil {
		return nil, err
	}
	columns := []column[AuditEntry]{
		{"time", func(e *AuditEntry) any { return e.At }},
		{"actor", func(e *AuditEntry) any { return string(e.Actor) }},
		{"actor_name", func(e *AuditEntry) any { return names[e.Actor] }},
		{"action", func(e *AuditEntry) any { return e.Action }},
		{"subject", func(e *AuditEntry) any { return e.Subject }},
		{"detail", func(e *AuditEntry) any { return e.Detail }},
	}
	return newExport(s.core, c, columns, func(e *AuditEntry) Position { return Position{At: e.At, ID: e.ID} },
		func(ctx context.Context, at Page) (Scanned[AuditEntry], error) {
			list, more, err := s.AuditLog(ctx, c, f, at)
			return Scanned[AuditEntry]{List: list, More: more}, err
		}), nil
}
