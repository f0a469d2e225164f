package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lib/pq"
)

// How long PostgreSQL works on a page of a search. A path can be made to take any time on a payload of any size.
const (
	searchTime = 6 * time.Second
	pathTime   = 2 * time.Second
)

// search runs the query of a page of a search, in a transaction of its own for its own timeout: poolers between us and
// PostgreSQL may give the connection to somebody else afterwards. The error is ErrSlow where it took too long.
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

// How many rows one page looks at, at most, where there is no index of what is looked for: some 20 ms. Scattered ones are
// each on a page of the disk of its own, as a hook's deliveries are, and the payloads of deliveries.
const (
	maxScanned          = 3000
	maxScannedScattered = 800
)

// Scanned is a page of a list for which rows are looked at one by one.
type Scanned[T any] struct {
	List []T
	// More says that there are others beyond the page, or may be, in the direction that the page was asked for.
	More bool
	// Reached is where the list has to go on from if the page ended before it was full; nil where it did not.
	Reached *Position
}

// scannedRow is what a row that was looked at has besides: its number, and whether it is one of those looked for. The last one
// need not be, and tells how far it came.
type scannedRow struct {
	N   int  `db:"n"`
	Hit bool `db:"hit"`
}

// scan is page for so many rows that are looked at.
func (c *clauses) scan(most int, p Page, at, id string, value func(*Position) any) (tail string) {
	p.Limit = most - 1
	return c.page(p, at, id, value)
}

// scanQuery is the query of the columns of the hits among the rows of a query, as many as the page has and one more, and of the last row.
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

// cutScanned drops the row beyond the page and one that was only looked at, and puts the newest first.
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
