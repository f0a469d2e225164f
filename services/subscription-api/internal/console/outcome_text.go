package console

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// reasonText says why a delivery is in its state.
func reasonText(reason webhook.Reason) string {
	switch reason {
	case webhook.ReasonNone:
		return ""
	case webhook.ReasonFailed:
		return "failed, to be tried again"
	case webhook.ReasonUnknown:
		return "a worker ended before it could tell of an attempt"
	case webhook.ReasonExhausted:
		return "no retry is left"
	case webhook.ReasonExpired:
		return "its deadline has passed"
	case webhook.ReasonStopStatus:
		return "the answer's status is one after which this webhook is not tried again"
	case webhook.ReasonGone:
		return "the receiver answered 410 Gone"
	case webhook.ReasonHookDisabled:
		return "the webhook was disabled while it waited"
	case webhook.ReasonPoison:
		return "its event was given up, as one that ends the workers which take it"
	case webhook.ReasonPayloadGone:
		return "it was to be tried later than its event's payload is kept for"
	case webhook.ReasonHookDeleted:
		return "the webhook was deleted"
	case webhook.ReasonPaused:
		return "the webhook is paused"
	case webhook.ReasonConcurrency:
		return "as many requests are under way as the webhook allows"
	case webhook.ReasonRate:
		return "the webhook's rate is used up"
	case webhook.ReasonBreaker:
		return "the receiver is failing, so it gets a rest"
	case webhook.ReasonOrdered:
		return "earlier deliveries have to go first"
	case webhook.ReasonMaintenance:
		return "the receiver is in a maintenance window"
	case webhook.ReasonReplay:
		return "a person asked for it again"
	case webhook.ReasonHookUnknown:
		return "the worker that had it did not know the webhook"
	default:
		return string(reason)
	}
}

// classText says why an attempt was not a success.
func classText(class webhook.ErrorClass) string {
	switch class {
	case webhook.ClassNone:
		return ""
	case webhook.ClassDNS:
		return "DNS name not found"
	case webhook.ClassRefused:
		return "connection refused"
	case webhook.ClassConnectTimeout:
		return "no connection in time"
	case webhook.ClassReset:
		return "connection reset by the receiver"
	case webhook.ClassConnection:
		return "connection failed"
	case webhook.ClassTLS:
		return "TLS handshake failed"
	case webhook.ClassTLSExpired:
		return "TLS certificate has expired"
	case webhook.ClassTLSHostname:
		return "TLS certificate is for another name"
	case webhook.ClassTLSUntrusted:
		return "TLS certificate is not trusted"
	case webhook.ClassTLSVersion:
		return "TLS version is too old"
	case webhook.ClassTimeout:
		return "no answer in time"
	case webhook.ClassIncomplete:
		return "answered before it had all of the request, and did not take the rest"
	case webhook.ClassRedirect:
		return "answered with a redirect, which is not followed"
	case webhook.ClassStatus:
		return "answered with an error"
	case webhook.ClassProtocol:
		return "answer is no HTTP"
	case webhook.ClassForbidden:
		return "address is blocked"
	case webhook.ClassHeaders:
		return "headers of the answer are too large"
	case webhook.ClassRequest:
		return "request could not be made"
	case webhook.ClassAuth:
		return "log-in at the receiver failed"
	default:
		return string(class)
	}
}

// answerText says what the last attempt brought: of a success that is none, what was wrong with it.
func answerText(status int, class webhook.ErrorClass) string {
	if status != 0 && !unfinished(class) {
		if text := http.StatusText(status); text != "" {
			return strconv.Itoa(status) + " " + text
		}
		return strconv.Itoa(status)
	}
	return classText(class)
}

// unfinished reports whether a success is none that came with an attempt of this class.
func unfinished(class webhook.ErrorClass) bool {
	return class == webhook.ClassTimeout || class == webhook.ClassIncomplete
}

// failingText says what is wrong with a hook.
func failingText(text string, failures int) string {
	if text == "" {
		text = "attempts fail"
	}
	if failures > 1 {
		text += fmt.Sprintf(", %s times in a row", amount(failures))
	}
	return text
}

// deliveryRow is a delivery as lists show it.
type deliveryRow struct {
	ID          uuid.UUID
	HookID      uuid.UUID
	EventID     string
	EventType   string
	Entity      string
	State       webhook.DeliveryState
	Why         string
	Answer      string
	Attempts    int
	PublishedAt time.Time
	// NextAt is when it is tried next; zero where it does not wait for a time.
	NextAt time.Time
}

func newDeliveryRow(d *webhook.Delivery) deliveryRow {
	return deliveryRow{
		ID: d.ID, HookID: d.HookID, EventID: d.EventID, EventType: d.EventType, Entity: d.Entity, State: d.State,
		Why: reasonText(d.Reason), Answer: answerText(d.LastStatus, d.LastError), Attempts: d.Attempts, PublishedAt: d.PublishedAt, NextAt: d.NextAt,
	}
}

func deliveryRows(list []webhook.Delivery) []deliveryRow {
	rows := make([]deliveryRow, len(list))
	for i := range list {
		rows[i] = newDeliveryRow(&list[i])
	}
	return rows
}
