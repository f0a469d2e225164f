package store

import (
	"context"
	"errors"
	"net"
	"time"
)

// cutOffTime is the time limit for ending sessions that are cut off.
const cutOffTime = 2 * time.Second

// endCutOff ends sessions whose programs are cut off from the server, if err says that a statement waited too long: such a
// session may hold the lock that it waited for. The server itself ends a session that is idle in a transaction (see endsAlone),
// but not one in the middle of a COPY, nor one that has received only some of a statement's messages. Neither statement_timeout
// nor a cancellation reaches those. Our programs have all data in memory before they begin a COPY or a statement, so no session
// of a live program waits ten seconds for its client. If one does nevertheless, its transaction is retried, as after any lost
// connection. Other COPY statements are left alone, because a person may be typing the rows.
func (d *core) endCutOff(ctx context.Context, err error) {
	var silent net.Error // matches the silence limit and a context's deadline; the codes are query_canceled and lock_not_available
	waited := errors.As(err, &silent) && silent.Timeout() || isCode(err, "57014") || isCode(err, "55P03")
	if !waited {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cutOffTime)
	defer cancel()
	// If this fails or finds no session, the original error stands.
	_, _ = d.db.ExecContext(ctx, `
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND usename = session_user AND state = 'active' AND wait_event = 'ClientRead'
			AND (query LIKE 'COPY %) FROM STDIN' OR query !~* '^\s*COPY') AND state_change < now() - interval '10 s'`)
}
