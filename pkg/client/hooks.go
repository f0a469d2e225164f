package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

const hooksPath = "/whisperer/hooks/"

// Hooks manages hooks, tries them out, and sends them again what they missed.
type Hooks struct{ *core }

type (
	// Hook is a hook as the API shows it: without its secrets.
	Hook = api.Hook
	// HookFields are the fields of a hook that a caller sets.
	HookFields = api.HookFields
	// Field is a field of a change: absent (its zero value, left as it is), null, or a value.
	Field[T any] = api.Field[T]
	// HookFilter narrows a list of hooks; zero fields don't.
	HookFilter = api.HookFilter
	// TestFields say what a test sends.
	TestFields = api.TestFields
	// BacktestFields say what a hook would be, and of which time its events are; what is empty is left to the API.
	BacktestFields = api.BacktestFields
	// ReplayFields say what to send again. From is needed, and Reason unless it is a dry run.
	ReplayFields = api.ReplayFields
)

// Algorithms of secrets that the API makes.
const (
	HMAC    = "hmac-sha256"
	Ed25519 = "ed25519"
)

// Set makes a field with a value.
func Set[T any](v T) Field[T] { return api.Set(v) }

// Null makes a field that clears what is there.
func Null[T any]() Field[T] { return api.Null[T]() }

// List lists the tenant's hooks, newest first, fetching page after page. It ends after the first error.
func (c Hooks) List(ctx context.Context, filter HookFilter) iter.Seq2[Hook, error] {
	return pages[Hook](ctx, c.core, hooksPath, queryOf(filter))
}

// Get returns one hook; webhook.ErrNotFound where the tenant has none with the id.
func (c Hooks) Get(ctx context.Context, id uuid.UUID) (Hook, error) {
	return get[Hook](ctx, c.core, hookPath(id, ""))
}

// Create makes a hook; webhook.ErrInvalid with the fields, webhook.ErrConflict (ProblemError.ExistingID has the other's id)
// where the tenant has a hook for the same target and types. Each call has an idempotency key of its own.
func (c Hooks) Create(ctx context.Context, fields HookFields) (Hook, error) {
	header := http.Header{"Idempotency-Key": {uuid.NewString()}}
	return call[Hook](ctx, c.core, request{method: http.MethodPost, path: hooksPath, header: header, body: fields})
}

// Update changes the fields that are set and leaves the others. With a version above 0, webhook.ErrVersion comes
// where the hook has changed since.
func (c Hooks) Update(ctx context.Context, id uuid.UUID, version int64, fields HookFields) (Hook, error) {
	header := http.Header{}
	if version > 0 {
		header.Set("If-Match", `"`+strconv.FormatInt(version, 10)+`"`)
	}
	return call[Hook](ctx, c.core, request{method: http.MethodPatch, path: hookPath(id, ""), header: header, body: fields})
}

// Delete deletes a hook; what it has not got yet is cancelled.
func (c Hooks) Delete(ctx context.Context, id uuid.UUID) error {
	return c.do(ctx, request{method: http.MethodDelete, path: hookPath(id, "")}, nil)
}

// Pause stops deliveries to a hook; they are parked until Resume.
func (c Hooks) Pause(ctx context.Context, id uuid.UUID) (Hook, error) {
	return post[Hook](ctx, c.core, hookPath(id, "pause/"), nil)
}

// PauseUntil is Pause with a time at which the hook becomes active again by itself.
func (c Hooks) PauseUntil(ctx context.Context, id uuid.UUID, until time.Time) (Hook, error) {
	return post[Hook](ctx, c.core, hookPath(id, "pause/"), api.Pause{Until: &until})
}

// Resume makes a paused or disabled hook active again.
func (c Hooks) Resume(ctx context.Context, id uuid.UUID) (Hook, error) {
	return post[Hook](ctx, c.core, hookPath(id, "resume/"), nil)
}

// RotateSecret gives a hook a new secret of the algorithm, HMAC if it is empty, which is never shown again.
func (c Hooks) RotateSecret(ctx context.Context, id uuid.UUID, algorithm string) (api.Rotated, error) {
	return post[api.Rotated](ctx, c.core, hookPath(id, "secret/rotate/"), api.SecretRotation{Algorithm: algorithm})
}

// PreviewRetries gives the timetable of a retry_countdown_config; nil for the default one.
func (c Hooks) PreviewRetries(ctx context.Context, config json.RawMessage) ([]api.RetryStep, error) {
	t, err := post[api.Timetable](ctx, c.core, hooksPath+"preview-retries/", api.RetrySchedule{RetryCountdownConfig: config})
	return t.Retries, err
}

// Test sends an example event to a hook now and returns the receiver's answer. It waits for as long as the hook's
// timeout lets the receiver take.
func (c Hooks) Test(ctx context.Context, id uuid.UUID, t TestFields) (api.TestResult, error) {
	return post[api.TestResult](ctx, c.core, hookPath(id, "test/"), t)
}

// TestUnsaved is Test for the hook that the fields would create.
func (c Hooks) TestUnsaved(ctx context.Context, t TestFields) (api.TestResult, error) {
	return post[api.TestResult](ctx, c.core, hooksPath+"test/", t)
}

// Backtest asks what a hook would have got of the last day's events, before it is saved.
func (c Hooks) Backtest(ctx context.Context, f BacktestFields) (api.Backtest, error) {
	return post[api.Backtest](ctx, c.core, hooksPath+"backtest/", f)
}

// Stats counts what became of a hook's deliveries; webhook.ErrNotFound where there is no such hook.
func (c Hooks) Stats(ctx context.Context, id uuid.UUID) (api.HookStats, error) {
	return get[api.HookStats](ctx, c.core, hookPath(id, "stats/"))
}

// Recovery tells what a hook missed while it was disabled. webhook.ErrNotFound comes where there is no such hook.
func (c Hooks) Recovery(ctx context.Context, id uuid.UUID) (api.Recovery, error) {
	return get[api.Recovery](ctx, c.core, hookPath(id, "recovery/"))
}

// Replay begins a job that sends a hook's deliveries again, or counts them where it is a dry run.
// webhook.ErrConflict comes where the hook has a job already, or is disabled.
func (c Hooks) Replay(ctx context.Context, id uuid.UUID, fields ReplayFields) (api.Job, error) {
	return post[api.Job](ctx, c.core, hookPath(id, "replay/"), fields)
}

func hookPath(id uuid.UUID, rest string) string { return hooksPath + id.String() + "/" + rest }
