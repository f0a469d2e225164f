package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"
)

// Series is the kind of a time series.
type Series string

// These are the series, with the values of a point in their order.
const (
	// ByState counts delivered, open and dead deliveries, as Counts does.
	ByState Series = "state"
	// ByStatus counts deliveries by the last response: 2xx, 3xx, 4xx, 5xx, any other, none.
	ByStatus Series = "status"
	// ByDuration has the median and the 99th percentile of the duration of answered attempts, in microseconds, and the number
	// of these attempts. They are those of each step's newest deliveries, at most stepSample deliveries.
	ByDuration Series = "duration"
)

// stepSample is the number of deliveries per step whose attempts are measured.
const stepSample = 200

// Point holds the values of a series for the events that were published in the step from At on.
type Point struct {
	At     time.Time
	Values []int64
}

// Total returns the sum of the values.
func (p *Point) Total() (n int64) {
	for _, v := range p.Values {
		n += v
	}
	return n
}

// seriesColumns are the columns of the series that count deliveries.
var seriesColumns = map[Series][]string{
	ByState: {
		`count(*) FILTER (WHERE state = 'delivered')`, `count(*) FILTER (WHERE state IN ('waiting', 'parked'))`, `count(*) FILTER (WHERE state = 'dead')`,
	},
	ByStatus: {
		`count(*) FILTER (WHERE last_status BETWEEN 200 AND 299)`, `count(*) FILTER (WHERE last_status BETWEEN 300 AND 399)`,
		`count(*) FILTER (WHERE last_status BETWEEN 400 AND 499)`, `count(*) FILTER (WHERE last_status BETWEEN 500 AND 599)`,
		`count(*) FILTER (WHERE last_status BETWEEN 100 AND 199 OR last_status > 599)`,
		`count(*) FILTER (WHERE last_status = 0 AND attempts > 0)`,
	},
}

// TimeSeries returns the series of the deliveries of a tenant, or of a hook, which must be the tenant's, for events published
// since the given time. The earliest step comes first. Steps without deliveries are left out.
func (d *HistoryStore) TimeSeries(ctx context.Context, tenant string, hook uuid.UUID, since time.Time, step time.Duration, by Series) ([]Point, error) {
	of, args := `tenant = $3`, []any{since, step.Seconds(), tenant}
	if hook != uuid.Nil {
		of, args[2] = `hook_id = $3`, hook
	}
	query := `
		SELECT date_bin(make_interval(secs => $2), published_at, $1) AS at, ARRAY[` + strings.Join(seriesColumns[by], ", ") + `]
		FROM deliveries WHERE ` + of + ` AND published_at >= $1 GROUP BY 1 ORDER BY 1`
	if by == ByDuration {
		query = `
		SELECT step.at, ARRAY[percentile_cont(0.5) WITHIN GROUP (ORDER BY a.duration_us), percentile_cont(0.99) WITHIN GROUP (ORDER BY a.duration_us),
			count(*)]::bigint[]
		FROM generate_series($1::timestamptz, now(), make_interval(secs => $2)) AS step(at)
		CROSS JOIN LATERAL (
			SELECT id, published_at FROM deliveries
			WHERE ` + of + ` AND published_at >= step.at AND published_at < step.at + make_interval(secs => $2)
			ORDER BY published_at DESC, id DESC LIMIT ` + fmt.Sprint(stepSample) + `
		) d JOIN attempts a ON a.delivery_id = d.id AND a.published_at = d.published_at
		WHERE a.status > 0 AND a.published_at >= $1 GROUP BY 1 ORDER BY 1`
	}
	rows, err := d.db.QueryxContext(ctx, query, args...)
	if err != nil {
		return nil, translate(fmt.Errorf("read series by %s: %w", by, err))
	}
	defer rows.Close()
	var points []Point
	for rows.Next() {
		var p Point
		if err := rows.Scan(&p.At, (*pq.Int64Array)(&p.Values)); err != nil {
			return nil, fmt.Errorf("read series by %s: %w", by, err)
		}
		p.At = p.At.UTC()
		points = append(points, p)
	}
	return points, translate(rows.Err())
}
