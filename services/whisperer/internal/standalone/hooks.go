package standalone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/receiver"
)

// flaky is the hook whose receiver rejects the first flakyFailures attempts of each delivery.
const (
	flaky         = "flaky"
	flakyFailures = 2
)

// demoHook is a hook of the demo, as this program remembers it.
type demoHook struct {
	ID     uuid.UUID `json:"id"`
	Name   string    `json:"name"`
	Secret string    `json:"secret"`
}

// path returns the path of the hook at the demo receiver.
func (h demoHook) path() string { return "/" + h.Name }

// demoSpec describes a hook that the first start creates.
type demoSpec struct {
	name   string
	types  []string
	retry  string
	config string
}

// demoSpecs are one hook for everything, one with another format, and one whose receiver fails at first, to
// demonstrate retries.
func demoSpecs() []demoSpec {
	return []demoSpec{
		{name: "everything", types: []string{"*"}},
		{name: "cloudevents", types: []string{"shipment.>", "stock_location.*"}, config: `{"format": "cloudevents"}`},
		{
			name: flaky, types: []string{"order.created", "package.status.shipped"},
			retry: `{"choice": "linear", "kwargs": {"base": 2, "limit": 10}}`,
		},
	}
}

func (d demoSpec) fields(secret, target string) client.HookFields {
	f := client.HookFields{
		Name: client.Set(d.name), EventTypes: client.Set(d.types), TargetURL: client.Set(target), SecretKey: client.Set(secret),
	}
	if d.retry != "" {
		f.RetryCountdownConfig = client.Set(json.RawMessage(d.retry))
	}
	if d.config != "" {
		f.Config = client.Set(json.RawMessage(d.config))
	}
	return f
}

// ensureDemoHooks creates the demo's hooks at the first start, and changes their target if the receiver's port has
// changed. A hook that was deleted since stays deleted. It must run before anything is delivered, because it
// generates the secrets.
func ensureDemoHooks(ctx context.Context, api *client.Client, state *demoState, port int) error {
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	if len(state.Hooks) == 0 {
		for _, spec := range demoSpecs() {
			hook, err := createDemoHook(ctx, api, base, spec)
			if err != nil {
				return err
			}
			state.Hooks = append(state.Hooks, hook)
		}
	} else if state.Port != port {
		for _, h := range state.Hooks {
			_, err := api.Hooks.Update(ctx, h.ID, 0, client.HookFields{TargetURL: client.Set(base + h.path())})
			if err != nil && !errors.Is(err, webhook.ErrNotFound) {
				return fmt.Errorf("move demo hook %s: %w", h.Name, err)
			}
		}
	}
	state.Port = port
	return nil
}

func createDemoHook(ctx context.Context, api *client.Client, base string, spec demoSpec) (demoHook, error) {
	h := demoHook{Name: spec.name, Secret: signature.GenerateSecret()}
	fields := spec.fields(h.Secret, base+h.path())
	made, err := api.Hooks.Create(ctx, fields)
	var problem *client.ProblemError
	if errors.As(err, &problem) && problem.ExistingID != nil {
		// An earlier start ended before it could remember the hook.
		made, err = api.Hooks.Update(ctx, *problem.ExistingID, 0, fields)
	}
	if err != nil {
		return h, fmt.Errorf("create demo hook %s: %w", h.Name, err)
	}
	h.ID = made.ID
	return h, nil
}

// paced returns a function that passes on at most one line per pause, with the number of lines left out meanwhile.
func paced(pause time.Duration, pass func(receiver.Line)) func(receiver.Line) {
	var mu sync.Mutex
	var last time.Time
	left := 0
	return func(l receiver.Line) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(last) >= pause {
			l.Left, left, last = left, 0, now
			pass(l)
			return
		}
		left++
	}
}

// demoReceiver returns the handler behind the demo's hooks. It verifies with each hook's secret and reports each
// webhook.
func demoReceiver(state *demoState, known *origins, seen func(receiver.Line)) (http.Handler, error) {
	keys := map[string][]signature.VerifyKey{}
	for _, h := range state.Hooks {
		key, err := signature.ParseVerifyKey(h.Secret)
		if err != nil {
			return nil, fmt.Errorf("read secret of demo hook %s: %w", h.Name, err)
		}
		keys[h.path()] = []signature.VerifyKey{key}
	}
	return receiver.New(receiver.Options{
		Keys: func(path string) []signature.VerifyKey { return keys[path] },
		Answer: func(_ context.Context, r *receiver.Received) receiver.Answer {
			if r.Path == "/"+flaky && r.Attempt <= flakyFailures && !r.Replay {
				return receiver.Answer{Status: http.StatusServiceUnavailable, Body: []byte("not yet\n")}
			}
			return receiver.Answer{Status: http.StatusOK}
		},
		Seen: func(r *receiver.Received) {
			line := receiver.Line{
				At: r.At, EventType: r.EventType, Hook: strings.TrimPrefix(r.Path, "/"), Attempt: r.Attempt, Status: r.Answer.Status,
				Verdict: r.Verdict, Replay: r.Replay,
			}
			line.Entity, line.After = r.About()
			if from, ok := known.find(r.EventID); ok {
				line.Entity, line.After = from.entity, r.At.Sub(from.at)
			}
			seen(line)
		},
	}), nil
}
