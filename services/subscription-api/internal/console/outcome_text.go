package console

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// inWords says a text of the use cases in the words of the pages, which call a hook a webhook.
func inWords(text string) string {
	return strings.NewReplacer("The hook", "The webhook", "the hook", "the webhook", "a hook", "a webhook", "new hook", "new webhook",
		" hooks", " webhooks").Replace(text)
}

// reasonText says why a delivery is in its state.
func reasonText(reason webhook.Reason) string {
	switch reason {
	case webhook.ReasonNone:
		return ""
	case webhook.ReasonFailed:
		return "the attempt failed, and will be retried"
	case webhook.ReasonUnknown:
		return "a worker stopped before it could record the attempt"
	case webhook.ReasonExhausted:
		return "no retries left"
	case webhook.ReasonExpired:
		return "its deadline has passed"
	case webhook.ReasonStopStatus:
		return "the response status is in the webhook's stop_on list"
	case webhook.ReasonTransform:
		return "the webhook's transform failed for its event"
	case webhook.ReasonGone:
		return "the receiver answered 410 Gone"
	case webhook.ReasonHookDisabled:
		return "the webhook was disabled while it waited"
	case webhook.ReasonPoison:
		return "its event was given up, because it crashes workers"
	case webhook.ReasonPayloadGone:
		return "its next retry would come after the event's payload is deleted"
	case webhook.ReasonErased:
		return "its event's payload was erased"
	case webhook.ReasonHookDeleted:
		return "the webhook was deleted"
	case webhook.ReasonPaused:
		return "the webhook is paused"
	case webhook.ReasonConcurrency:
		return "the webhook's concurrency limit is reached"
	case webhook.ReasonRate:
		return "the webhook's rate limit is reached"
	case webhook.ReasonBreaker:
		return "paused by circuit breaker"
	case webhook.ReasonOrdered:
		return "earlier deliveries go first"
	case webhook.ReasonBatch:
		return "it waits for others of its batch"
	case webhook.ReasonMaintenance:
		return "the receiver is in a maintenance window"
	case webhook.ReasonReplay:
		return "a person requested it again"
	case webhook.ReasonHookUnknown:
		return "the worker did not know the webhook yet"
	default:
		return string(reason)
	}
}

// classText says why an attempt failed.
func classText(class webhook.ErrorClass) string {
	switch class {
	case webhook.ClassNone:
		return ""
	case webhook.ClassDNS:
		return "DNS name not found"
	case webhook.ClassRefused:
		return "connection refused"
	case webhook.ClassConnectTimeout:
		return "connection timed out"
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
		return "no response in time"
	case webhook.ClassIncomplete:
		return "responded before it had read the whole request"
	case webhook.ClassRedirect:
		return "responded with a redirect, which is not followed"
	case webhook.ClassStatus:
		return "responded with an error"
	case webhook.ClassProtocol:
		return "the response is not HTTP"
	case webhook.ClassForbidden:
		return "address is blocked"
	case webhook.ClassHeaders:
		return "response headers are too large"
	case webhook.ClassRequest:
		return "the request could not be built"
	case webhook.ClassCondition:
		return "answered, but the condition for success does not hold"
	case webhook.ClassSigning:
		return "the signing key is missing"
	case webhook.ClassTransform:
		return "transform failed, nothing was sent"
	case webhook.ClassAuth:
		return "authentication at the receiver failed"
	default:
		return string(class)
	}
}

// answerText describes the result of the last attempt. For a success status that does not count, it says why.
func answerText(status int, class webhook.ErrorClass) string {
	if status != 0 && !unfinished(class) {
		if text := http.StatusText(status); text != "" {
			return strconv.Itoa(status) + " " + text
		}
		return strconv.Itoa(status)
	}
	return classText(class)
}

// unfinished reports whether the class means that a success status does not count.
func unfinished(class webhook.ErrorClass) bool {
	return class == webhook.ClassTimeout || class == webhook.ClassIncomplete || class == webhook.ClassCondition
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

// deliveryRow is a delivery in a list.
type deliveryRow struct {
	ID     uuid.UUID
	HookID uuid.UUID
	// Hook is the title of the hook; empty if the page is about one hook.
	Hook string
	// HookGone says that the hook has been deleted.
	HookGone    bool
	EventID     string
	EventType   string
	Entity      string
	State       webhook.DeliveryState
	Why         string
	Answer      string
	Attempts    int
	PublishedAt time.Time
	// NextAt is when it is tried next; zero if it does not wait for a time.
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

// titledRows returns rows with the titles of their webhooks.
func (c *console) titledRows(ctx context.Context, v *visit, list []webhook.Delivery) ([]deliveryRow, error) {
	rows := deliveryRows(list)
	ids := make([]uuid.UUID, len(rows))
	for i := range rows {
		ids[i] = rows[i].HookID
	}
	if len(ids) == 0 {
		return nil, nil
	}
	titles, err := c.Cases.Hooks.Titles(ctx, &v.Caller, ids)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		h, there := titles[rows[i].HookID]
		if rows[i].Hook, rows[i].HookGone = titleOf(&h), !there; !there {
			rows[i].Hook = "a deleted webhook"
		}
	}
	return rows, nil
}

// listRows returns the rows of a list, with the titles of their webhooks unless the list is about one.
func (c *console) listRows(ctx context.Context, v *visit, f *usecase.DeliveryFilter, list []webhook.Delivery) ([]deliveryRow, error) {
	if f.Hook != uuid.Nil {
		return deliveryRows(list), nil
	}
	return c.titledRows(ctx, v, list)
}
