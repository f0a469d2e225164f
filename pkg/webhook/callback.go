package webhook

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Callback says where to report the outcomes of a hook's deliveries. Exactly one of URL and Subject is set.
type Callback struct {
	URL     string `json:"url,omitempty"`
	Subject string `json:"subject,omitempty"`
	// On lists the delivery states to report; an empty list means delivered and dead.
	On []string `json:"on,omitempty"`
}

// callbackOutcomes are the states of deliveries that a callback can report.
var callbackOutcomes = []DeliveryState{Delivered, Dead, Waiting, Parked, Cancelled}

// callbackMembers describes the members of a callback.
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

// parseCallback parses a callback; {} means none. A *ValidationError points at each invalid member.
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

// CallbackOf converts the predecessor's callback, the dotted path of a Python function, into a callback with a
// subject. The program that has the function can subscribe to that subject.
func CallbackOf(tenant, path string) *Callback {
	return &Callback{Subject: "whisperer.callback." + tenant + "." + strings.ToLower(path)}
}

// Normal returns the callback with its outcomes in lower case, as they are stored.
func (c *Callback) Normal() *Callback {
	out := *c
	out.On = slices.Clone(c.On)
	for i := range out.On {
		out.On[i] = strings.ToLower(out.On[i])
	}
	return &out
}

// Wants reports whether the callback reports deliveries that enter the state. It returns false for a nil callback.
func (c *Callback) Wants(state DeliveryState) bool {
	switch {
	case c == nil:
		return false
	case len(c.On) == 0:
		return state == Delivered || state == Dead
	}
	return slices.Contains(c.On, string(state))
}

// CallbackType returns the operational event type that carries the outcomes of a hook's deliveries.
func CallbackType(hook uuid.UUID) string { return "callback.h" + hex.EncodeToString(hook[:]) }

// CallbackOwner returns the hook whose outcomes the event type carries, or false if the type is none of
// CallbackType's.
func CallbackOwner(eventType string) (hook uuid.UUID, ok bool) {
	text, ok := strings.CutPrefix(eventType, "callback.h")
	if !ok || len(text) != hex.EncodedLen(len(hook)) {
		return uuid.Nil, false
	}
	_, err := hex.Decode(hook[:], []byte(text))
	return hook, err == nil
}

// CallbackID returns the id of the event that reports an outcome of a delivery after a number of attempts, without
// the prefix of reserved ids. The same outcome always has the same id, so reporting it twice makes one callback.
func CallbackID(delivery uuid.UUID, attempts int, state DeliveryState) string {
	return fmt.Sprintf("%s%d:%s", CallbackIDPrefix(delivery), attempts, state)
}

// CallbackIDPrefix returns the prefix of the ids of all callbacks about a delivery.
func CallbackIDPrefix(delivery uuid.UUID) string { return "callback:" + delivery.String() + ":" }

// CallbackHookID returns the id of the hook that carries another hook's callbacks.
func CallbackHookID(hook uuid.UUID) uuid.UUID { return uuid.NewSHA1(hook, []byte("callback")) }

// Carrier reports whether the hook was made by CallbackHook, and so has no row of its own.
func (h *Hook) Carrier() bool {
	owner, ok := CallbackOwner(h.EventTypes[0])
	return ok && h.ID == CallbackHookID(owner)
}

// CallbackHook returns the hook that carries this hook's callbacks to their URL, or nil if there is no callback URL.
// It signs with the same secrets, or with HTTP Message Signatures if this hook does. It retries on the default
// schedule, and has no callback of its own.
func (h *Hook) CallbackHook() *Hook {
	if h.Callback == nil || h.Callback.URL == "" {
		return nil
	}
	config, err := ParseConfig([]byte(`{"format":"raw"}`))
	if err != nil {
		return nil // cannot fail: the callback was validated
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
