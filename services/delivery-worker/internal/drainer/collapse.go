package drainer

import (
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

// collapse is the progress of collapsing a hook's queue, since deliveries were last taken from it.
type collapse int

const (
	toCollapse collapse = iota
	collapsing
	collapsed
)

// collapsed reports whether superseded deliveries have been removed from the queue. If that has not begun, it begins in the
// background, because a long queue takes a while, during which other hooks are drained.
func (x *held) collapsed() bool {
	if x.collapse == toCollapse {
		x.collapse = collapsing
		x.parts.Go(func() {
			as := x.supersede()
			x.call(func() { x.collapse = as })
		})
	}
	return x.collapse == collapsed
}

func (x *held) supersede() collapse {
	all := 0
	defer func() {
		if all > 0 {
			x.Superseded(all)
			x.Log.Info("deliveries superseded by newer ones", zap.Stringer("hook_id", x.hook.ID), zap.Int("deliveries", all))
		}
	}()
	for x.ctx.Err() == nil && !x.stopped.Load() {
		n, more, err := x.Store.Supersede(x.ctx, x.id, x.lease)
		if err != nil {
			if x.ctx.Err() == nil {
				x.Log.Warn("failed to supersede deliveries", zap.Stringer("hook_id", x.hook.ID), zap.Error(err))
				daemon.Sleep(x.ctx, look/4)
			}
			return toCollapse
		}
		if all += n; !more {
			break
		}
	}
	return collapsed
}
