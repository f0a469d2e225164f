package trace

import (
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// These fields tie log lines to events, deliveries and traces by their ids.

// ID returns the trace id of a valid traceparent, or an empty field.
func ID(traceparent string) zap.Field {
	if !valid(traceparent) {
		return zap.Skip()
	}
	return zap.String("trace_id", traceparent[3:35])
}

// valid reports whether the traceparent, which may come from anybody, has a trace id.
func valid(traceparent string) bool {
	if len(traceparent) < 55 || traceparent[2] != '-' || traceparent[35] != '-' {
		return false
	}
	id := traceparent[3:35]
	return strings.Trim(id, "0123456789abcdef") == "" && strings.Trim(id, "0") != ""
}

// Event returns the fields that identify an event.
func Event(e *webhook.Event) zap.Field {
	return zap.Inline(zapcore.ObjectMarshalerFunc(func(to zapcore.ObjectEncoder) error {
		to.AddString("tenant", e.Tenant)
		to.AddString("event_id", e.ID)
		ID(e.Traceparent).AddTo(to)
		return nil
	}))
}

// Delivery returns the fields that identify a delivery.
func Delivery(due *webhook.Due) zap.Field {
	return zap.Inline(zapcore.ObjectMarshalerFunc(func(to zapcore.ObjectEncoder) error {
		to.AddString("delivery_id", due.ID.String())
		to.AddString("hook_id", due.Hook.ID.String())
		Event(due.Event).AddTo(to)
		return nil
	}))
}

// maxID is how many bytes of a message's id are logged.
const maxID = 255

// Message returns the fields that identify a message whose event cannot be decoded, taken from its headers.
func Message(header func(name string) string) zap.Field {
	return zap.Inline(zapcore.ObjectMarshalerFunc(func(to zapcore.ObjectEncoder) error {
		if id := header("Nats-Msg-Id"); id != "" {
			to.AddString("event_id", id[:min(len(id), maxID)])
		}
		ID(header("traceparent")).AddTo(to)
		return nil
	}))
}
