package store

import (
	"context"
	"errors"
	"net"
	"time"
)

// cutOffTime bounds the search for sessions that are cut off.
const cutOffTime = 2 * time.Second

// endCutOff ends the sessions that wait for what their programs cannot send any more, where err says that a statement had to end
// because it waited too long: what such a session has locked may be what it waited for. The server itself ends a session that is
// idle in a transaction (endsAlone), but none in the middle of a COPY, nor one that was told a part of what makes up a statement;
// neither statement_timeout nor a cancellation reaches it there. Our programs have all of it in memory before they begin, so
// that none waits for ten seconds while its program lives; should one do so all the same, its transaction is repeated as after any
// lost connection. A COPY of somebody else is left alone: a person may type its rows.
func (d *core) endCutOff(ctx context.Context, err error) {
	var silent net.Error // silence, and a context's deadline; the codes are query_canceled and lock_not_available
	waited := errors.As(err, &silent) && silent.Timeout() || isCode(err, "57014") || isCode(err, "55P03")
	if !waited {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cutOffTime)
	defer cancel()
	// Whoever cannot do so, or finds none, has the same error as before.
	_, _ = d.db.ExecContext(ctx, `
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND usename = session_user AND state = 'active' AND wait_event = 'ClientRead'
			AND (query LIKE 'COPY %) FROM STDIN' OR query !~* '^\s*COPY') AND state_change < now() - interval '10 s'`)
}
