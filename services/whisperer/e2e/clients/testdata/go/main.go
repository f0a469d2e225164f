// Clients does with Go what integrators do: it lives the life of a hook by the client that oapi-codegen generates, and reads
// deliveries by the SDK of CloudEvents.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	"clients/whisperer"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	life(ctx)
	read(os.Stdin)
}

func check(what string, good bool, answer []byte) {
	if !good {
		fmt.Fprintf(os.Stderr, "%s: not so: %s\n", what, answer)
		os.Exit(1)
	}
	fmt.Println("ok:", what)
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func life(ctx context.Context) {
	auth := func(_ context.Context, req *http.Request) error {
		req.Header.Set("Authorization", "Token "+os.Getenv("WHISPERER_TOKEN"))
		return nil
	}
	api := must(whisperer.NewClientWithResponses(os.Getenv("WHISPERER_URL"), whisperer.WithRequestEditorFn(auth)))
	target, types, secret := os.Getenv("RECEIVER")+"/oapi-codegen", []string{"order.created"}, "secret"

	const entity = "oapi-codegen:1"
	config := whisperer.HookConfig{Filter: ptr(fmt.Sprintf("event.entity == %q", entity))}
	made := must(api.CreateHookWithResponse(ctx, nil, whisperer.CreateHookJSONRequestBody{
		TargetUrl: &target, EventTypes: &types, SecretKey: &secret, Config: &config,
	}))
	check("create", made.JSON201 != nil, made.Body)
	id := made.JSON201.Id
	got := must(api.GetHookWithResponse(ctx, id))
	check("get", got.JSON200 != nil && got.JSON200.HasSecret, got.Body)
	list := must(api.ListHooksWithResponse(ctx, &whisperer.ListHooksParams{TargetUrl: &target}))
	check("list", list.JSON200 != nil && len(list.JSON200.Results) == 1, list.Body)
	name := "shop"
	changed := must(api.ChangeHookWithResponse(ctx, id, nil, whisperer.HookInput{Name: &name}))
	check("update", changed.JSON200 != nil && changed.JSON200.Name == name, changed.Body)
	tested := must(api.TestHookWithResponse(ctx, id, whisperer.TestInput{}))
	check("test", tested.JSON200 != nil, tested.Body)
	paused := must(api.PauseHookWithResponse(ctx, id, nil, whisperer.PauseHookJSONRequestBody{}))
	check("pause", paused.JSON200 != nil && paused.JSON200.Status == "paused", paused.Body)
	resumed := must(api.ResumeHookWithResponse(ctx, id, nil))
	check("resume", resumed.JSON200 != nil && resumed.JSON200.Status == "active", resumed.Body)

	event := whisperer.EventInput{EventType: ptr("order.created"), Entity: ptr(entity), Data: map[string]any{"id": 1042}}
	var body whisperer.PublishEventsJSONRequestBody
	must(0, body.FromEventInput(event))
	published := must(api.PublishEventsWithResponse(ctx, nil, body))
	check("publish", published.JSON202 != nil && len(published.JSON202.Results) == 1, published.Body)

	var delivery whisperer.Delivery
	await(ctx, "list deliveries", func() bool {
		page := must(api.ListHookDeliveriesWithResponse(ctx, id, nil))
		for _, d := range page.JSON200.Results {
			if d.State == "delivered" {
				delivery = d
			}
		}
		return delivery.State != ""
	})
	await(ctx, "get the event", func() bool {
		return must(api.GetEventWithResponse(ctx, published.JSON202.Results[0].EventId)).JSON200 != nil
	})
	retried := must(api.RetryDeliveryWithResponse(ctx, delivery.Id, whisperer.RetryInput{Force: ptr(true)}))
	check("retry", retried.JSON200 != nil, retried.Body)
	await(ctx, "the second attempt", func() bool {
		one := must(api.GetDeliveryWithResponse(ctx, delivery.Id))
		return one.JSON200 != nil && len(one.JSON200.Attempts) == 2 && one.JSON200.State == "delivered"
	})
	gone := must(api.DeleteHookWithResponse(ctx, id, nil))
	check("delete", gone.StatusCode() == http.StatusNoContent, gone.Body)
	absent := must(api.GetHookWithResponse(ctx, id))
	check("a problem has its type", absent.ApplicationproblemJSON404 != nil && absent.ApplicationproblemJSON404.Title == "Not Found", absent.Body)
}

func ptr[T any](v T) *T { return &v }

func await(ctx context.Context, what string, done func() bool) {
	for !done() {
		select {
		case <-ctx.Done():
			check(what, false, nil)
		case <-time.After(50 * time.Millisecond):
		}
	}
	fmt.Println("ok:", what)
}

// read reads deliveries as CloudEvents, one JSON object a line.
func read(in io.Reader) {
	lines := json.NewDecoder(in)
	for lines.More() {
		var d struct {
			Headers map[string]string `json:"headers"`
			Body    string            `json:"body"`
		}
		must(0, lines.Decode(&d))
		req := must(http.NewRequest(http.MethodPost, "http://receiver.example/", bytes.NewReader([]byte(d.Body))))
		for name, value := range d.Headers {
			req.Header.Set(name, value)
		}
		event := must(cloudevents.NewEventFromHTTPRequest(req))
		must(0, event.Validate())
		var order struct {
			ID int `json:"id"`
		}
		must(0, event.DataAs(&order))
		fmt.Println("event:", event.ID(), event.Type(), order.ID, event.Extensions()["sequence"])
	}
}
