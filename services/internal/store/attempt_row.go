package store

import (
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// attemptRowColumns are the columns of attemptRow.
const attemptRowColumns = `number, hook_id, started_at, duration_us, outcome, status, error_class, error, worker, replay, method, url,
	request_size, request_headers, response_headers, response_body, truncated, dns_us, connect_us, tls_us, first_byte_us,
	body_digest`

type attemptRow struct {
	Number          int       `db:"number"`
	HookID          uuid.UUID `db:"hook_id"`
	StartedAt       time.Time `db:"started_at"`
	Duration        int64     `db:"duration_us"`
	Outcome         string    `db:"outcome"`
	Status          int       `db:"status"`
	ErrorClass      string    `db:"error_class"`
	Error           string    `db:"error"`
	Worker          string    `db:"worker"`
	Replay          bool      `db:"replay"`
	Method          string    `db:"method"`
	URL             string    `db:"url"`
	RequestSize     int       `db:"request_size"`
	RequestHeaders  string    `db:"request_headers"`
	ResponseHeaders string    `db:"response_headers"`
	ResponseBody    []byte    `db:"response_body"`
	Truncated       bool      `db:"truncated"`
	DNS             int64     `db:"dns_us"`
	Connect         int64     `db:"connect_us"`
	TLS             int64     `db:"tls_us"`
	FirstByte       int64     `db:"first_byte_us"`
	BodyDigest      []byte    `db:"body_digest"`
}

func (r *attemptRow) attempt() webhook.Attempt {
	return webhook.Attempt{
		Number: r.Number, HookID: r.HookID, StartedAt: r.StartedAt.UTC(), Duration: fromMicros(r.Duration),
		Outcome: webhook.AttemptOutcome(r.Outcome), Status: r.Status, Class: webhook.ErrorClass(r.ErrorClass), Error: r.Error,
		Worker: r.Worker, Replay: r.Replay, Method: r.Method, URL: r.URL, RequestHeaders: webhook.ParseHeaderLines(r.RequestHeaders),
		RequestSize: r.RequestSize, BodyDigest: r.BodyDigest, ResponseHeaders: webhook.ParseHeaderLines(r.ResponseHeaders), ResponseBody: r.ResponseBody,
		Truncated: r.Truncated, Timings: webhook.Timings{
			DNS: fromMicros(r.DNS), Connect: fromMicros(r.Connect), TLS: fromMicros(r.TLS), FirstByte: fromMicros(r.FirstByte),
		},
	}
}

func fromMicros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
