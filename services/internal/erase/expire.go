package erase

import (
	"context"
	"errors"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// Expire erases payloads whose retention under their tenants' policies has ended, until none are left or ctx ends. It
// returns how many it erased. The next call continues where this one ended.
func (r *Eraser) Expire(ctx context.Context, now time.Time) (erased int, err error) {
	b, err := r.bus()
	if err != nil {
		return 0, err
	}
	policies, err := r.retention.List(ctx, "")
	if err != nil {
		return 0, err
	}
	for _, p := range policies {
		for more := true; more && ctx.Err() == nil; {
			n, err := r.expirePending(ctx, b)
			if erased += n; err != nil {
				return erased, err
			}
			marked, err := r.retention.MarkExpired(ctx, &p, now)
			if err != nil {
				return erased, err
			}
			more = marked == store.MaxErased
		}
	}
	n, err := r.expirePending(ctx, b)
	return erased + n, errors.Join(err, r.retention.ForgetExpired(ctx))
}

// expirePending erases the events that are marked as to be erased.
func (r *Eraser) expirePending(ctx context.Context, b *bus.Bus) (erased int, err error) {
	for ctx.Err() == nil {
		pending, err := r.db.Pending(ctx, nil)
		if err != nil || len(pending) == 0 {
			return erased, err
		}
		if err := r.batch(ctx, b, nil, webhook.ErasedByRetention, pending); err != nil {
			return erased, err
		}
		erased += len(pending)
	}
	return erased, nil
}
