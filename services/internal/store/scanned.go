package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lib/pq"
)

// These are PostgreSQL's time limits for one page of a search. A path can be written to take any time on a payload of any size.
const (
	searchTime = 6 * time.Second
	pathTime   = 2 * time.Second
)

// search runs the query for a page of a search. It uses a transaction to limit the timeout to this query, because a pooler may
// give the connection to another program afterwards. The error is ErrSlow if the query takes too long.
func (d *core) search(ctx context.Context, f *PayloadFilter, rows any, query string, args []any) error {
	limit := searchTime
	if f.Path != "" {
		limit = pathTime
	}
	tx, err := d.db.BeginTxx(ctx, nil)
	if err != nil {
		return translate(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(`SET LOCAL statement_timeout = %d`, limit.Milliseconds())); err != nil {
		return translate(err)
	}
	err = tx.SelectContext(ctx, rows, query, args...)
	if pqErr, ok := errors.AsType[*pq.Error](err); ok && pqErr.Code.Name() == "query_canceled" && ctx.Err() == nil {
		return ErrSlow
	}
	return translate(f.pathError(err))
}

// These bound the rows that one page looks at if no index covers what is searched for, which takes about 20 ms. Scattered rows,
// such as a hook's deliveries or the payloads of deliveries, each lie on a disk page of their own.
const (
	maxScanned          = 3000
	maxScannedScattered = 800
)

// Scanned is a page of a list for which rows are looked at one by one.
type Scanned[T any] struct {
	List []T
	// More reports that there are, or may be, further rows in the direction of the page.
	More bool
	// Reached is the position from which the list continues if the page ended before it was full; otherwise nil.
	Reached *Position
}

// scannedRow is added to each row that was looked at: its number, and whether it matches. The last row may not match, and shows
// how far the scan got.
type scannedRow struct {
	N   int  `db:"n"`
	Hit bool `db:"hit"`
}

// scan does what page does, for a scan of at most most rows.
func (c *clauses) scan(most int, p Page, at, id string, value func(*Position) any) (tail string) {
	p.Limit = most - 1
	return c.page(p, at, id, value)
}

// scanQuery returns a query for the matching rows among those of the query rows: as many as the page holds and one more, and
// the last row looked at.
func scanQuery(name, columns, rows string, most int, hits *clauses, p Page, at, id string) string {
	order := "DESC"
	if p.Newer != nil {
		order = "ASC"
	}
	return fmt.Sprintf(`
		SELECT %[9]s, n, hit FROM (
			SELECT *, row_number() OVER (ORDER BY %[1]s %[2]s, %[3]s %[2]s) AS n, %[4]s AS hit FROM (%[5]s) %[6]s
		) looked WHERE hit OR n = %[7]d ORDER BY n LIMIT %[8]s`, at, order, id, hits.where(), rows, name, most, hits.arg(p.Limit+1), columns)
}

// cutScanned drops the row beyond the page and a last row that does not match, and puts the newest row first.
func cutScanned[R any](rows []R, most int, p Page, of func(*R) (scannedRow, Position)) (list []R, more bool, reached *Position) {
	for i := range rows {
		switch row, at := of(&rows[i]); {
		case row.Hit && len(list) == p.Limit:
			more, reached = true, nil
		case row.Hit:
			list = append(list, rows[i])
			fallthrough
		default:
			if row.N == most {
				more, reached = true, &at
			}
		}
	}
	if p.Newer != nil {
		slices.Reverse(list)
	}
	return list, more, reached
}
