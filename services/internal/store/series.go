package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"
)

// Series says what the points of a time series are.
type Series string

// The series, with the values of a point in their order.
const (
	// ByState has deliveries that are delivered, open and dead, as Counts are.
	ByState Series = "state"
	// ByStatus has deliveries by what was answered last: 2xx, 3xx, 4xx, 5xx, anything else, nothing.
	ByStatus Series = "status"
	// ByDuration has the median and the 99th percentile of how long answered attempts took, in microseconds, and how many that is of:
	// the attempts of each step's newest deliveries, stepSample of them at most.
	ByDuration Series = "duration"
)

// stepSample is how many deliveries of a step are looked at for how long attempts took.
const stepSample = 200

// Point has the values of a series for the events that were published in a step of time, from At on.
type Point struct {
	At     time.Time
	Values []int64
}

// Total adds up the values.
func (p *Point) Total() (n int64) {
	for _, v := range p.Values {
		n += v
	}
	return n
}

// seriesColumns are the values of the series that are counted.
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

// TimeSeries returns the series of a tenant's deliveries, or with a hook, which must be the tenant's, of the hook's, to which events
// published since the time were to go, the first step first; steps without any are left out.
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
