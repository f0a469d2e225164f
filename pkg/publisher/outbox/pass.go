package outbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/publisher"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// lockQuery makes this relay the active one until the transaction ends. The lock belongs to the transaction rather
// than the session, so that it works with a pooler, and so that a relay that is frozen or cut off loses it within
// half a minute.
const lockQuery = `SELECT pg_try_advisory_xact_lock(hashtextextended('whisperer_outbox ' || 'whisperer_outbox'::regclass::oid, 0)),
	set_config('idle_in_transaction_session_timeout', '30s', true)`

// batchQuery reads committed rows in the order of writing, up to a number of rows and bytes. It returns at least one
// row, and omits bodies that are too large to be published.
const batchQuery = `SELECT position, id, tenant, type, headers, waited, size, CASE WHEN size <= $3 THEN body END
	FROM (SELECT *, octet_length(body) AS size, sum(octet_length(body)) OVER (ORDER BY position) AS total,
			extract(epoch FROM clock_timestamp() - created_at)::float8 AS waited
		FROM (SELECT * FROM whisperer_outbox ORDER BY position LIMIT $1) AS first) AS summed
	WHERE total <= $2 OR total = size OR size > $3 ORDER BY position`

const rejectQuery = `WITH gone AS (DELETE FROM whisperer_outbox WHERE position = $1 RETURNING *)
	INSERT INTO whisperer_outbox_rejected (position, id, tenant, type, body, headers, created_at, reason)
	SELECT position, id, tenant, type, body, headers, created_at, $2 FROM gone`

// row is an event in the outbox.
type row struct {
	position         int64
	id, tenant, kind string
	headers, body    []byte
	size             int
	waited           float64 // seconds
}

// done is the result of a pass.
type done struct {
	took bool // any rows
	full bool // a complete batch, so there may be more
}

// pass processes one batch. It deletes the rows that it has published and remembers no position, so a transaction
// that commits late is found when it commits.
func (r *Relay) pass(ctx context.Context) (done, error) {
	if err := r.opts.Publisher.Ready(ctx); err != nil { // no transaction is held open while waiting for NATS
		return done{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), passTimeout)
	defer cancel()
	// Once it has the lock, it must see what its predecessor deleted.
	tx, err := r.opts.DB.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return done{}, wrap("begin transaction", err)
	}
	defer tx.Rollback()
	var active bool
	var timeout string
	if err := tx.QueryRowContext(ctx, lockQuery).Scan(&active, &timeout); err != nil {
		return done{}, wrap("lock outbox", err)
	}
	if !active {
		return done{}, nil
	}
	rows, err := r.read(ctx, tx)
	if err != nil || len(rows) == 0 {
		return done{}, wrap("read outbox", err)
	}
	p := &progress{}
	failure := r.publish(ctx, rows, p)
	if err := p.settle(ctx, tx); err != nil {
		return done{}, errors.Join(failure, wrap("settle outbox", err))
	}
	if err := tx.Commit(); err != nil {
		return done{}, errors.Join(failure, wrap("settle outbox", err))
	}
	r.report(p)
	return done{took: true, full: failure == nil && (len(rows) == r.opts.Batch || p.size >= batchBytes/2)}, failure
}

func (r *Relay) read(ctx context.Context, tx *sql.Tx) ([]row, error) {
	found, err := tx.QueryContext(ctx, batchQuery, r.opts.Batch, batchBytes, webhook.MaxEventSize)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var rows []row
	for found.Next() {
		var w row
		if err := found.Scan(&w.position, &w.id, &w.tenant, &w.kind, &w.headers, &w.waited, &w.size, &w.body); err != nil {
			return nil, err
		}
		rows = append(rows, w)
	}
	return rows, found.Err()
}

// progress is what happened to the rows of a batch.
type progress struct {
	stored   []int64 // positions
	rejected []Rejection
	size     int     // bytes of the rows
	waited   float64 // seconds that the first stored row waited
}

func (p *progress) reject(w *row, reason string) {
	p.rejected = append(p.rejected, Rejection{Position: w.position, ID: w.id, Tenant: w.tenant, Type: w.kind, Reason: reason})
}

// publish stores the events in the order of their rows. After an error, those up to some position are stored, and
// progress knows which.
func (r *Relay) publish(ctx context.Context, rows []row, p *progress) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	var messages []publisher.Message
	var of []*row // the row of each message
	for i := range rows {
		p.size += rows[i].size
		m, err := r.message(&rows[i])
		if err != nil {
			p.reject(&rows[i], reason(err))
			continue
		}
		messages, of = append(messages, m), append(of, &rows[i])
	}
	for len(messages) > 0 {
		stored, err := r.opts.Publisher.PublishMessages(ctx, messages)
		for _, w := range of[:stored] {
			if len(p.stored) == 0 {
				p.waited = w.waited
			}
			p.stored = append(p.stored, w.position)
		}
		messages, of = messages[stored:], of[stored:]
		switch {
		case errors.Is(err, publisher.ErrTooLarge):
			p.reject(of[0], err.Error())
			messages, of = messages[1:], of[1:]
		case err != nil:
			return err
		}
	}
	return nil
}

// message checks a row, because a row need not have been written by Write.
func (r *Relay) message(w *row) (publisher.Message, error) {
	if w.body == nil {
		return publisher.Message{}, fmt.Errorf("the body has %d bytes, and %d are allowed", w.size, webhook.MaxEventSize)
	}
	var headers map[string]string
	if err := json.Unmarshal(w.headers, &headers); err != nil {
		return publisher.Message{}, errors.New("the headers are not an object of strings")
	}
	tenant := w.tenant
	if tenant == "" {
		tenant = r.opts.Publisher.Tenant()
	}
	m, err := publisher.Parse(tenant, w.kind, headers, w.body)
	if err == nil && m.ID() != w.id {
		return m, errors.New("the event_id of the body is not the id of the row")
	}
	return m, err
}

// reason returns the error as one sentence.
func reason(err error) string {
	invalid, ok := errors.AsType[*webhook.ValidationError](err)
	if !ok {
		return err.Error()
	}
	parts := make([]string, len(invalid.Fields))
	for i, f := range invalid.Fields {
		parts[i] = strings.TrimPrefix(f.Error(), ": ") // errors about the whole body have no pointer
	}
	return strings.Join(parts, "; ")
}

// settle deletes rows that are stored, and moves those that are rejected.
func (p *progress) settle(ctx context.Context, tx *sql.Tx) error {
	if len(p.stored) > 0 {
		var list strings.Builder
		for i, position := range p.stored {
			if i > 0 {
				list.WriteByte(',')
			}
			list.WriteString(strconv.FormatInt(position, 10))
		}
		// As text, because drivers differ in how they pass arrays.
		if _, err := tx.ExecContext(ctx, `DELETE FROM whisperer_outbox WHERE position = ANY (string_to_array($1, ',')::bigint[])`, list.String()); err != nil {
			return err
		}
	}
	for _, rejection := range p.rejected {
		if _, err := tx.ExecContext(ctx, rejectQuery, rejection.Position, rejection.Reason); err != nil {
			return err
		}
	}
	return nil
}

func (r *Relay) report(p *progress) {
	if n := len(p.stored); n > 0 && r.opts.Published != nil {
		r.opts.Published(n, time.Duration(p.waited*float64(time.Second)))
	}
	if r.opts.Rejected != nil {
		for _, rejection := range p.rejected {
			r.opts.Rejected(rejection)
		}
	}
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
