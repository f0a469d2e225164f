// Package publisher publishes events to Whisperer from a Go program.
//
//	p, err := publisher.New(ctx, publisher.Options{URL: "nats://nats:4222", Tenant: "acme", Name: "orders"})
//	…
//	err = p.Publish(ctx, publisher.Event{Type: "order.created", Entity: "order:1042", Data: order})
//
// When Publish returns nil, JetStream has stored the event, and Whisperer will deliver it to every matching hook.
// Publishing the same event again, with the same id, is harmless for 24 hours, so publish again whenever you are not
// sure. A program that must not lose an event between its own database and NATS uses package outbox to write it in
// the transaction that it reports.
//
// PublishAsync keeps many events in flight. PublishBatch stores many events in their order.
package publisher
