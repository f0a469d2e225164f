package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// What is published.
const (
	eventType   = "package.status.packed"
	eventEntity = "package:61"
	// otherType is the type of hooks that never match.
	otherType = "order.created"
)

// Every body contains a mark of fixed width: @@ sequence | Unix time of sending in nanoseconds @@.
const (
	markEdge  = "@@"
	seqDigits = 10
	atDigits  = 19
	markSize  = len(markEdge) + seqDigits + 1 + atDigits + len(markEdge)
)

func newMark() string {
	return markEdge + strings.Repeat("0", seqDigits) + "|" + strings.Repeat("0", atDigits) + markEdge
}

func findMark(body []byte) int { return bytes.Index(body, []byte(markEdge)) }

// template is a body with a place for the mark.
type template struct {
	text []byte
	mark int
}

// fill returns the body of one event.
func (t template) fill(seq int, at time.Time) []byte {
	body := bytes.Clone(t.text)
	digits(body[t.mark+len(markEdge):][:seqDigits], int64(seq))
	digits(body[t.mark+len(markEdge)+seqDigits+1:][:atDigits], at.UnixNano())
	return body
}

// batch returns a list of the events from seq on, before last.
func (t template) batch(seq, last int, at time.Time) []byte {
	list := make([]byte, 0, (last-seq)*(len(t.text)+1)+1)
	for ; seq < last; seq++ {
		list = append(append(list, ','), t.fill(seq, at)...)
	}
	list[0] = '['
	return append(list, ']')
}

// digits writes n with leading zeros.
func digits(to []byte, n int64) {
	for i := len(to) - 1; i >= 0; i-- {
		to[i] = byte('0' + n%10)
		n /= 10
	}
}

// readMark finds the mark in a body.
func readMark(body []byte) (seq int, at time.Time, ok bool) {
	i := findMark(body)
	if i < 0 || len(body) < i+markSize {
		return 0, time.Time{}, false
	}
	mark := string(body[i+len(markEdge) : i+markSize-len(markEdge)])
	seq, err := strconv.Atoi(mark[:seqDigits])
	if err != nil {
		return 0, time.Time{}, false
	}
	nanos, err := strconv.ParseInt(mark[seqDigits+1:], 10, 64)
	if err != nil {
		return 0, time.Time{}, false
	}
	return seq, time.Unix(0, nanos), true
}

// payload is the published body, and the body that a receiver must get for it.
type payload struct {
	published, delivered template
}

// newPayload returns events whose delivered bodies have the size.
func newPayload(size int, now time.Time) (payload, error) {
	empty, err := payloadWith("", now)
	if err != nil {
		return payload{}, err
	}
	missing := size - len(empty.delivered.text)
	if missing < 0 {
		return payload{}, fmt.Errorf("make payload: a body has at least %d bytes", len(empty.delivered.text))
	}
	return payloadWith(strings.Repeat("x", missing), now)
}

func payloadWith(padding string, now time.Time) (payload, error) {
	data, err := json.Marshal(map[string]string{"mark": newMark(), "note": padding})
	if err != nil {
		return payload{}, fmt.Errorf("make payload: %w", err)
	}
	event := webhook.Event{Type: eventType, Time: now.UTC().Truncate(time.Second), Entity: eventEntity, Data: data}
	delivered, err := envelope.Encode(webhook.FormatOMS, &event)
	if err != nil {
		return payload{}, fmt.Errorf("make payload: %w", err)
	}
	published, err := json.Marshal(map[string]any{
		"event_type": event.Type, "event_time": event.Time, "entity": event.Entity, "data": json.RawMessage(data),
	})
	if err != nil {
		return payload{}, fmt.Errorf("make payload: %w", err)
	}
	return payload{
		published: template{text: published, mark: findMark(published)},
		delivered: template{text: delivered.Bytes, mark: findMark(delivered.Bytes)},
	}, nil
}
