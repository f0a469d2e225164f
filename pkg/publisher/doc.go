// Package publisher publishes events to Whisperer from a Go program.
//
//	p, err := publisher.New(ctx, publisher.Options{URL: "nats://nats:4222", Tenant: "acme", Name: "orders"})
//	…
//	err = p.Publish(ctx, publisher.Event{Type: "order.created", Entity: "order:1042", Data: order})
//
// An event is Whisperer's when Publish returns nil: JetStream has stored it, and it will be delivered to every hook that
// matches. Publishing the same event again, with the same id, is harmless for 24 hours: whoever is not sure publishes
// again. A program that must not lose an event between its own database and NATS writes it with package outbox, in the
// transaction that makes it true.
//
// PublishAsync keeps many events under way, PublishBatch stores many in their order.
package publisher
