// Package client is the typed Go client of Whisperer's HTTP API.
//
//	c, err := client.New(client.Options{URL: "http://127.0.0.1:8080", Token: token})
//	hook, err := c.Hooks.Create(ctx, client.HookFields{
//		EventTypes: client.Set([]string{"package.>"}),
//		TargetURL:  client.Set("https://example.com/webhooks"),
//	})
//
// What calls return are the types of pkg/api. What the API refuses comes back as a *ProblemError, which works with errors.Is and the sentinels of pkg/webhook.
package client
