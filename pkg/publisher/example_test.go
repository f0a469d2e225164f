package publisher_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/publisher"
)

func ExamplePublisher_Publish() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p, err := publisher.New(ctx, publisher.Options{URL: "nats://127.0.0.1:4222", Tenant: "acme", Name: "orders"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	err = p.Publish(ctx, publisher.Event{
		ID: "order-1042-created", Type: "order.created", Entity: "order:1042", Data: map[string]any{"id": 1042},
	})
	if err != nil { // it may have been stored nevertheless: publish it again with the same ID
		fmt.Println(err)
		return
	}
}

func ExamplePublisher_PublishAsync() {
	ctx := context.Background()
	p, err := publisher.New(ctx, publisher.Options{URL: "nats://127.0.0.1:4222"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	for _, line := range []string{`{"id":1}`, `{"id":2}`} {
		p.PublishAsync(publisher.Event{Type: "order.created", Data: json.RawMessage(line)})
	}
	if err := p.Flush(ctx); err != nil {
		fmt.Println(err)
		return
	}
}
