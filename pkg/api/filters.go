package api

import (
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// HookFilter narrows a list of hooks; zero fields don't. The tags of its fields, and of those of the other filters, are as those of
// DeliveryFilter.
type HookFilter struct {
	TargetURL string             `query:"target_url" doc:"Hooks with exactly this target URL" help:"Only hooks with exactly this target." placeholder:"URL"`
	EventType string             `query:"event_type" doc:"Hooks that name this type or pattern" help:"Only hooks that name this type or pattern." placeholder:"TYPE"`
	Status    webhook.HookStatus `query:"status" enum:"active,paused,disabled," default:"" help:"Only hooks that are active, paused or disabled." placeholder:"STATUS"`
	// Labels are those that a hook has to have; an empty value is any.
	Labels webhook.LabelSelector `query:"label" doc:"Hooks with these labels: name=value, or only name for any value; several separated by commas" help:"Only hooks with this label, as name=value, or name alone for any value; may be repeated." name:"label" placeholder:"LABEL"`
	// Search finds a part of the name or of the target URL.
	Search string `query:"search" doc:"Part of the name or the target URL, ignoring case, or the first six or more characters of the id" help:"Only hooks with this in their name or target." placeholder:"TEXT"`
	// PageSize is how many come with one request, 250 at the most; 0 for the API's default.
	PageSize int `query:"limit" kong:"-"`
}

// EventFilter narrows a list of events; empty fields let everything pass. Without From the list goes back seven days.
type EventFilter struct {
	EventType  string `query:"event_type" doc:"An event type, or a pattern that matches it" help:"Only events of this type or pattern." short:"e" placeholder:"TYPE"`
	Entity     string `query:"entity" doc:"Such as package:61" help:"Only events about this, such as package:61." placeholder:"TEXT"`
	DataFilter `kong:"-"`
	// OffSchema leaves the events that the schema of their type has something against.
	OffSchema bool      `query:"off_schema" doc:"true for events that violate the schema of their type" help:"Only events that do not fit the schema of their type."`
	From      time.Time `query:"from" doc:"Events published at this time or later, in RFC 3339 format; seven days before to if absent" kong:"-"`
	To        time.Time `query:"to" doc:"Events published before this time; no limit if absent" kong:"-"`
}

// RejectedFilter narrows a list of rejected events; empty fields let everything pass. Without From the list goes back seven days.
type RejectedFilter struct {
	Reason string `query:"reason" doc:"The reason as a fixed word, such as unreadable" help:"Only those with this reason, such as unreadable."`
	// Subject is a part of what it was published to, in any case of letters.
	Subject string    `query:"subject" doc:"Part of the subject that it was published to, such as package.created, ignoring case" help:"Only those published to a subject with this part, such as package.created."`
	From    time.Time `query:"from" doc:"Events published at this time or later, in RFC 3339 format; seven days before to if absent" kong:"-"`
	To      time.Time `query:"to" doc:"Events published before this time; no limit if absent" kong:"-"`
}

// AuditFilter narrows a list of changes; empty fields let everything pass. Without From the list goes back seven days.
type AuditFilter struct {
	// Subject is the id or name of a thing.
	Subject string `query:"subject" doc:"Changes of the object with this id or name" help:"Only changes of the thing of this id or name." placeholder:"ID"`
	Kind    string `query:"kind" doc:"Changes of objects of this kind" enum:"hook,delivery,job,token,event_type,tenant,ledger_entry,signing_key,erasure,retention,view," default:"" help:"Only changes of hook, delivery, job, token, event_type, tenant, ledger_entry, signing_key, erasure, retention or view." placeholder:"KIND"`
	// Actor is the name or id of a token, or a program.
	Actor string    `query:"actor" maxLength:"255" doc:"Changes by this token (its name or id) or program" help:"Only changes by this token (its name or id) or program." placeholder:"NAME"`
	From  time.Time `query:"from" doc:"Events published at this time or later, in RFC 3339 format; seven days before to if absent" kong:"-"`
	To    time.Time `query:"to" doc:"Events published before this time; no limit if absent" kong:"-"`
}
