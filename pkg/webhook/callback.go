package webhook

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Callback is what to do with each outcome of a hook's deliveries. Exactly one of URL and Subject is set.
type Callback struct {
	URL     string `json:"url,omitempty"`
	Subject string `json:"subject,omitempty"`
	// On are the delivery states to be told of; delivered and dead if there are none.
	On []string `json:"on,omitempty"`
}

// callbackOutcomes are the states of deliveries that a callback may be told of.
var callbackOutcomes = []DeliveryState{Delivered, Dead, Waiting, Parked, Cancelled}

// callbackMembers are the members of a callback.
var callbackMembers = []Field{
	{Name: "url", Kind: KindText, MaxLength: MaxTargetURL, Example: "https://oms.example.com/outcomes", Help: "The URL that outcomes are sent to, by POST"},
	{
		Name: "subject", Kind: KindText, Example: "whisperer.callback.default.outcomes",
		Help: "The NATS subject that outcomes are published to, beginning with whisperer.callback.<tenant>.; either this or url is required",
	},
	{
		Name: "on", Kind: KindTexts, Choices: texts(callbackOutcomes), Example: `["delivered", "dead"]`, Default: `["delivered", "dead"]`,
		Help: "The outcomes to report",
	},
}

// parseCallback reads the object that means a callback; {} means none. A *ValidationError points at each bad member.
func parseCallback(raw json.RawMessage) (*Callback, error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return nil, invalid("", "is not an object")
	}
	p := &ValidationError{}
	for _, name := range sortedKeys(members) {
		i := slices.IndexFunc(callbackMembers, func(f Field) bool { return f.Name == name })
		switch {
		case i < 0:
			p.Add("/"+escapePointer(Clip(name)), "is not a known field")
		case !isNull(members[name]) && !callbackMembers[i].Kind.Accepts(members[name]):
			p.Add("/"+name, "must be %s", callbackMembers[i].Kind.Expects())
		}
	}
	if err := p.OrNil(); err != nil || len(members) == 0 {
		return nil, err
	}
	var c Callback
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, invalid("", "is not an object")
	}
	return c.Normal(), nil
}

// CallbackOf is the callback that the dotted path of a Python function means, as the predecessor called it: the program that
// has the function can subscribe to the subject.
func CallbackOf(tenant, path string) *Callback {
	return &Callback{Subject: "whisperer.callback." + tenant + "." + strings.ToLower(path)}
}

// Normal is the callback with its outcomes as they are stored, in lower case.
func (c *Callback) Normal() *Callback {
	out := *c
	out.On = slices.Clone(c.On)
	for i := range out.On {
		out.On[i] = strings.ToLower(out.On[i])
	}
	return &out
}

// Wants reports whether the callback is to be told of deliveries that get into the state; a nil one is not.
func (c *Callback) Wants(state DeliveryState) bool {
	switch {
	case c == nil:
		return false
	case len(c.On) == 0:
		return state == Delivered || state == Dead
	}
	return slices.Contains(c.On, string(state))
}

// CallbackType is the operational event type by which the outcomes of a hook's deliveries travel.
func CallbackType(hook uuid.UUID) string { return "callback.h" + hex.EncodeToString(hook[:]) }

// CallbackOwner returns the hook whose outcomes travel by the event type, and false for a type that is none of CallbackType.
func CallbackOwner(eventType string) (hook uuid.UUID, ok bool) {
	text, ok := strings.CutPrefix(eventType, "callback.h")
	if !ok || len(text) != hex.EncodedLen(len(hook)) {
		return uuid.Nil, false
	}
	_, err := hex.Decode(hook[:], []byte(text))
	return hook, err == nil
}

// CallbackID is the id of what tells of an outcome of a delivery, after so many attempts, without the prefix of reserved ids. It is the
// same for the same outcome, so that telling it again is one callback.
func CallbackID(delivery uuid.UUID, attempts int, state DeliveryState) string {
	return fmt.Sprintf("%s%d:%s", CallbackIDPrefix(delivery), attempts, state)
}

// CallbackIDPrefix begins the ids of all callbacks that tell of a delivery.
func CallbackIDPrefix(delivery uuid.UUID) string { return "callback:" + delivery.String() + ":" }

// CallbackHookID is the id of the hook that carries another hook's callbacks.
func CallbackHookID(hook uuid.UUID) uuid.UUID { return uuid.NewSHA1(hook, []byte("callback")) }

// Carrier reports whether the hook is one of CallbackHook, which has no row of its own.
func (h *Hook) Carrier() bool {
	owner, ok := CallbackOwner(h.EventTypes[0])
	return ok && h.ID == CallbackHookID(owner)
}

// CallbackHook is the hook that carries the hook's callbacks to their URL, nil where there are none to carry. It signs
// with the same secrets, or as HTTP Message Signatures where the hook does, retries on the default schedule, and has no callback of its own.
func (h *Hook) CallbackHook() *Hook {
	if h.Callback == nil || h.Callback.URL == "" {
		return nil
	}
	config, err := ParseConfig([]byte(`{"format":"raw"}`))
	if err != nil {
		return nil // it is valid
	}
	if h.Config.Signature.Message() {
		config.Signature = h.Config.Signature
	}
	status := Active
	if h.Unreadable != "" { // its secrets are not known
		status = Paused
	}
	return &Hook{
		ID: CallbackHookID(h.ID), Tenant: h.Tenant, Name: h.Name, EventTypes: []string{CallbackType(h.ID)}, TargetURL: h.Callback.URL,
		NotificationType: NotificationREST, Secrets: h.Secrets, Config: config, Status: status, CreatedAt: h.CreatedAt,
		ModifiedAt: h.ModifiedAt, Version: h.Version,
	}
}
