package api

import (
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// HookFilter narrows a list of hooks; zero fields do not restrict it. The tags of the fields of all filters are like
// those of DeliveryFilter.
type HookFilter struct {
	TargetURL string             `query:"target_url" doc:"Hooks with exactly this target URL" help:"Only hooks with exactly this target." placeholder:"URL"`
	EventType string             `query:"event_type" doc:"Hooks that name this type or pattern" help:"Only hooks that name this type or pattern." placeholder:"TYPE"`
	Status    webhook.HookStatus `query:"status" enum:"active,paused,disabled," default:"" help:"Only hooks that are active, paused or disabled." placeholder:"STATUS"`
	// Labels are labels that a hook must have; an empty value matches any.
	Labels webhook.LabelSelector `query:"label" doc:"Hooks with these labels: name=value, or only name for any value; several separated by commas" help:"Only hooks with this label, as name=value, or name alone for any value; may be repeated." name:"label" placeholder:"LABEL"`
	// Search finds hooks by a part of the name or of the target URL.
	Search string `query:"search" doc:"Part of the name or the target URL, ignoring case, or the first six or more characters of the id" help:"Only hooks with this in their name or target." placeholder:"TEXT"`
	// PageSize is the number of hooks per request, at most 250; 0 means the API's default.
	PageSize int `query:"limit" kong:"-"`
}

// EventFilter narrows a list of events; empty fields do not restrict it. Without From the list goes back seven days.
type EventFilter struct {
	EventType  string `query:"event_type" doc:"An event type, or a pattern that matches it" help:"Only events of this type or pattern." short:"e" placeholder:"TYPE"`
	Entity     string `query:"entity" doc:"Such as package:61" help:"Only events about this, such as package:61." placeholder:"TEXT"`
	DataFilter `kong:"-"`
	// OffSchema only leaves events that violate the schema of their type.
	OffSchema bool      `query:"off_schema" doc:"true for events that violate the schema of their type" help:"Only events that do not fit the schema of their type."`
	From      time.Time `query:"from" doc:"Events published at this time or later, in RFC 3339 format; seven days before to if absent" kong:"-"`
	To        time.Time `query:"to" doc:"Events published before this time; no limit if absent" kong:"-"`
}

// RejectedFilter narrows a list of rejected events; empty fields do not restrict it. Without From the list goes back
// seven days.
type RejectedFilter struct {
	Reason string `query:"reason" doc:"The reason as a fixed word, such as unreadable" help:"Only those with this reason, such as unreadable."`
	// Subject is a part of the subject that the message was published to, ignoring case.
	Subject string    `query:"subject" doc:"Part of the subject that it was published to, such as package.created, ignoring case" help:"Only those published to a subject with this part, such as package.created."`
	From    time.Time `query:"from" doc:"Events published at this time or later, in RFC 3339 format; seven days before to if absent" kong:"-"`
	To      time.Time `query:"to" doc:"Events published before this time; no limit if absent" kong:"-"`
}

// AuditFilter narrows a list of audit entries; empty fields do not restrict it. Without From the list goes back seven
// days.
type AuditFilter struct {
	// Subject is the id or name of an object.
	Subject string `query:"subject" doc:"Changes of the object with this id or name" help:"Only changes of the thing of this id or name." placeholder:"ID"`
	Kind    string `query:"kind" doc:"Changes of objects of this kind" enum:"hook,delivery,job,token,event_type,tenant,ledger_entry,signing_key,erasure,retention,view," default:"" help:"Only changes of hook, delivery, job, token, event_type, tenant, ledger_entry, signing_key, erasure, retention or view." placeholder:"KIND"`
	// Actor is the name or id of a token, or a program.
	Actor string    `query:"actor" maxLength:"255" doc:"Changes by this token (its name or id) or program" help:"Only changes by this token (its name or id) or program." placeholder:"NAME"`
	From  time.Time `query:"from" doc:"Events published at this time or later, in RFC 3339 format; seven days before to if absent" kong:"-"`
	To    time.Time `query:"to" doc:"Events published before this time; no limit if absent" kong:"-"`
}
