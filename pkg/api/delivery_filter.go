package api

import (
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// DeliveryFilter narrows a list of deliveries; zero fields do not restrict it. Without Event, IDPrefix and From the
// list goes back seven days.
//
// The fields' tags describe the filter to the API, the command line and the console:
//
//   - query is the name of the parameter, doc and enum are its description;
//   - help, placeholder, name, short and default are the flag's; there is none with kong:"-";
//   - title and example are the label and the placeholder of the console's input; without a title there is none.
type DeliveryFilter struct {
	Hook      uuid.UUID `query:"hook" doc:"Deliveries to this hook" kong:"-" title:"Webhook"`
	Event     string    `query:"event" doc:"Deliveries of the event with this id, however old" help:"Only those of the event of this id." placeholder:"ID" title:"Event id"`
	EventType string    `query:"event_type" doc:"An event type, or a pattern that matches it" help:"Only those of events of this type or pattern." short:"e" placeholder:"TYPE" title:"Event type or pattern"`
	Entity    string    `query:"entity" doc:"Such as package:61; only while the event's payload is kept" help:"Only those of events about this, such as package:61." placeholder:"TEXT" title:"Entity" example:"package:61"`
	// State is one state, or several separated by commas.
	State string `query:"state" doc:"One or more of waiting, parked, delivered, dead, cancelled, superseded, separated by commas" help:"Only those that are waiting, parked, delivered, dead, cancelled, superseded; several separated by commas." placeholder:"STATE" title:"State"`
	// Labels are labels that the hook must have; an empty value matches any.
	Labels webhook.LabelSelector `query:"label" doc:"Deliveries to hooks with these labels: name=value, or only name for any value; several separated by commas" help:"Only hooks with this label, as name=value, or name alone for any value; may be repeated." name:"label" placeholder:"LABEL" title:"Label of the webhook" example:"partner=acme"`
	// Status is the HTTP status of the last attempt.
	Status int `query:"status" doc:"The HTTP status of the last attempt; 0 for none" help:"Only those whose last attempt got this HTTP status." placeholder:"N"`
	// IDPrefix is the beginning of the id: at least 4 hexadecimal digits.
	IDPrefix string `query:"id_prefix" doc:"Deliveries whose id begins with this, at least 4 hexadecimal digits, however old" help:"Only those whose id starts with these 4 or more characters." name:"id-prefix" placeholder:"HEX"`
	// StatusClass is 2xx, 3xx, 4xx, 5xx, or none if there was no answer.
	StatusClass string `query:"status_class" doc:"Status class of the last attempt; none if there was no response. 3xx to 5xx leave out delivered ones, unless state includes them" enum:"2xx,3xx,4xx,5xx,none," default:"" help:"Only those whose last attempt got such a status, or no answer (none)." placeholder:"2xx|3xx|4xx|5xx|none" title:"Last answer"`

	From       time.Time `query:"from" doc:"Events published at this time or later, in RFC 3339 format; seven days before to if absent" kong:"-"`
	To         time.Time `query:"to" doc:"Events published before this time; no limit if absent" kong:"-"`
	DataFilter `kong:"-"`
}

// DataFilter narrows a list by the events' data. It needs From, and a range of at most 31 days.
type DataFilter struct {
	// DataContains is JSON that the data must contain. DataPath is an SQL/JSON path that must find something in it.
	// DataText is text that the published data must contain.
	DataContains string `query:"data_contains" doc:"JSON that the event's data must contain, such as {\"package\":{\"awb\":\"1Z5\"}}. Requires from, and at most 31 days"`
	DataPath     string `query:"data_path" doc:"An SQL/JSON path that must find something in the event's data, such as $.lines[*] ? (@.quantity > 3). Requires from, and at most 31 days"`
	DataText     string `query:"data_text" doc:"Text that the event's data must contain, as it was published. Requires from, and at most 31 days"`
}

// RetryChoice selects deliveries to retry. It needs IDs or From. The tags of its fields are like those of
// DeliveryFilter, with json, the member of the body, instead of the parameter.
type RetryChoice struct {
	// IDs selects deliveries with one of these ids. nil does not restrict the selection; an empty list selects no
	// delivery.
	IDs        []uuid.UUID             `json:"ids,omitzero" doc:"Deliveries with one of these ids, at most 1,000; required if from is absent" kong:"-"`
	Hook       *uuid.UUID              `json:"hook,omitempty" doc:"Deliveries to this hook" kong:"-"`
	Labels     webhook.LabelSelector   `json:"labels,omitempty" doc:"Deliveries to hooks with all of these labels; an empty value is any" help:"Only hooks with this label, as name=value, or name alone for any value; may be repeated." name:"label" placeholder:"LABEL"`
	EventTypes []string                `json:"event_types,omitempty" doc:"Types and patterns; all if absent" help:"Those of events of this type or pattern; may be repeated." name:"event-type" short:"e" placeholder:"TYPE"`
	Entity     string                  `json:"entity,omitempty" doc:"Such as package:61; only while the event's payload is kept" help:"Those of events about this, such as package:61." placeholder:"TEXT"`
	States     []webhook.DeliveryState `json:"states,omitempty" doc:"Any of dead, waiting, cancelled, and with force also delivered, superseded; all of these if absent" kong:"help='Those that are dead, waiting, cancelled, or, with --force, delivered, superseded; may be repeated.',name='state',enum='dead,waiting,cancelled,delivered,superseded',placeholder='STATE'"`
	From       time.Time               `json:"from,omitzero" doc:"Events published at this time or later" kong:"-"`
	To         time.Time               `json:"to,omitzero" doc:"The publication of the events is before this" kong:"-"`
	// Force also selects those that were delivered or superseded.
	Force bool `json:"force,omitempty" doc:"Also deliveries that were delivered or superseded" kong:"-"`
}
