package console

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// typeGroup is a group of event types in the form, by the first word of the types.
type typeGroup struct {
	Name  string
	Types []typeChoice
}

type typeChoice struct {
	Name, Description string
	Ticked            bool
}

type hookEdit struct {
	// ID is nil for a new hook.
	ID    *uuid.UUID
	Title string
	// Hook is the title of a stored hook.
	Hook    string
	Action  string
	Version int64
	Form    hookForm
	Groups  []typeGroup
	Wrong   formErrors
	// Conflict is the id of a conflicting hook.
	Conflict *uuid.UUID
	Steps    timetable
	Tenant   string
	// Test is the result of a test; may be nil.
	Test *testBody
	// HadAuth says that authentication is configured, with the kind AuthType.
	HadSecret, HadAPIKey, HadAuth, HadTLS bool
	AuthType                              string
}

// outcome is an outcome that a callback can report.
type outcome struct {
	Value  webhook.DeliveryState
	Ticked bool
}

// Outcomes returns all outcomes.
func (e hookEdit) Outcomes() []outcome {
	var list []outcome
	for _, state := range []webhook.DeliveryState{webhook.Delivered, webhook.Dead, webhook.Waiting, webhook.Parked, webhook.Cancelled} {
		list = append(list, outcome{Value: state, Ticked: slices.Contains(e.Form.CallbackOn, string(state))})
	}
	return list
}

// Uses reports whether any of the fields is set or invalid, so that their section is expanded.
func (e hookEdit) Uses(ids ...string) bool {
	return slices.ContainsFunc(ids, func(id string) bool { return e.Form.Key(id) != "" || len(e.Wrong[id]) > 0 })
}

// UsesOthers reports the same for the last section, which has the fields and keys without a place of their own.
func (e hookEdit) UsesOthers() bool {
	ids := []string{"stop_on", "start_from", "concurrency", "rate_limit", "ordering", "maintenance", "success", "success_condition"}
	for _, k := range slices.Concat(e.Form.OtherFields(), e.Form.OtherKeys()) {
		ids = append(ids, k.Name)
	}
	return e.Form.RatePeriod+e.Form.Condition != "" || e.Uses(ids...)
}

// FieldIDs returns the fields that can show errors, for live validation.
func (hookEdit) FieldIDs() []string {
	return slices.Compact(slices.Sorted(maps.Values(hookFieldIDs())))
}

// typeNames returns all exact event types that the tenant knows.
func (c *console) typeNames(ctx context.Context, tenant string) ([]string, error) {
	types, err := c.Cases.KnownTypes(ctx, tenant)
	names := make([]string, len(types))
	for i := range types {
		names[i] = types[i].Name
	}
	return names, err
}

func (c *console) typeGroups(ctx context.Context, tenant string, ticked []string) ([]typeGroup, error) {
	types, err := c.Cases.KnownTypes(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var groups []typeGroup
	for _, t := range types {
		first, _, _ := strings.Cut(t.Name, ".")
		i := slices.IndexFunc(groups, func(g typeGroup) bool { return g.Name == first })
		if i < 0 {
			i = len(groups)
			groups = append(groups, typeGroup{Name: first})
		}
		groups[i].Types = append(groups[i].Types, typeChoice{Name: t.Name, Description: t.Description, Ticked: slices.Contains(ticked, t.Name)})
	}
	return groups, nil
}

func (c *console) newHookPage(ctx context.Context, v *visit) (reply, error) {
	form, byRecipe := alertForm(v.form.Get("alert"))
	if !byRecipe {
		form = newHookForm()
	}
	if t := v.form.Get("event_type"); t != "" {
		form.Types = []string{t}
	}
	return c.hookFormPage(ctx, v, nil, form, hookEdit{})
}

func (c *console) editHookPage(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	h, err := c.Cases.Hooks.GetToEdit(ctx, &v.Caller, id)
	if err != nil {
		return reply{}, err
	}
	known, err := c.typeNames(ctx, v.Tenant)
	if err != nil {
		return reply{}, err
	}
	return c.hookFormPage(ctx, v, &h, formOf(&h, known), hookEdit{Version: h.Version})
}

// hookFormPage shows the form for a new hook (nil) or a stored one.
func (c *console) hookFormPage(ctx context.Context, v *visit, h *webhook.Hook, form hookForm, body hookEdit) (reply, error) {
	body.Form, body.Tenant = form, v.Tenant
	body.Title, body.Action = "New webhook", Root+"hooks/"
	if h != nil {
		body.Hook = titleOf(h)
		body.ID, body.Title, body.Action = &h.ID, "Edit "+body.Hook, hookPath(h.ID)
		body.HadSecret, body.HadAPIKey, body.HadAuth = len(h.Secrets) > 0, h.APIKey != "", h.Config.Auth != nil
		body.HadTLS = h.Config.TLS != nil
		if body.HadAuth {
			body.AuthType = h.Config.Auth.AuthType
		}
	}
	if body.Wrong == nil {
		body.Wrong = formErrors{}
	}
	var err error
	if body.Groups, err = c.typeGroups(ctx, v.Tenant, form.Types); err != nil {
		return reply{}, err
	}
	body.Steps = preview(&form)
	answer := page("hook-form", body.Title, body)
	if body.Wrong.any() {
		answer = answer.with(http.StatusUnprocessableEntity)
	}
	return answer, nil
}

func (c *console) createHook(ctx context.Context, v *visit) (reply, error) {
	form := readHookForm(v.posted)
	change, secret := form.change()
	if form.Start == "paused" {
		change.Status = usecase.Some(string(webhook.Paused))
	}
	stored, err := c.Cases.Hooks.Create(ctx, &v.Caller, change, usecase.IdempotencyKey{})
	body := hookEdit{Wrong: formErrors{}}
	switch {
	case err != nil:
		if err = refused(err, &body); err != nil {
			return reply{}, err
		}
		return c.hookFormPage(ctx, v, nil, form, body)
	case secret == "":
		return goTo(withDone(hookPath(stored.ID), "created")), nil
	}
	return page("hook-secret", "The signing secret", secretBody{ID: stored.ID, Title: titleOf(&stored), Secret: secret, New: true}), nil
}

// secretBody shows a new secret, this once.
type secretBody struct {
	ID     uuid.UUID
	Title  string
	Secret string
	New    bool
	// OldUntil is until when the previous secret signs as well; zero if it does not.
	OldUntil time.Time
}

// refused converts errors about a hook into errors of the form, and returns other errors.
func refused(err error, body *hookEdit) error {
	var conflict *webhook.ConflictError
	switch {
	case errors.Is(err, webhook.ErrInvalid):
		body.Wrong.collect(hookFieldIDs(), err)
	case errors.As(err, &conflict):
		body.Conflict = &conflict.ID
		body.Wrong.add("form", "There is a webhook with this target URL and these event types already.")
	case errors.Is(err, webhook.ErrConflict):
		body.Wrong.add("form", "There is a webhook with this target URL and these event types already.")
	case errors.Is(err, webhook.ErrVersion):
		body.Wrong.add("form", "Somebody else has changed this webhook since you opened it. Open it again to see the change; what you typed is still below.")
	case errors.Is(err, usecase.ErrQuota):
		body.Wrong.add("form", "The tenant has as many webhooks as it may have. Delete one that is not needed.")
	default:
		return err
	}
	return nil
}

func (c *console) changeHook(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	version, err := strconv.ParseInt(v.posted.Get("version"), 10, 64)
	if err != nil {
		return reply{}, errBadForm
	}
	form := readHookForm(v.posted)
	change, secret := form.change()
	stored, err := c.Cases.Hooks.Change(ctx, &v.Caller, id, usecase.IfVersion{version}, change)
	switch {
	case err == nil && secret != "":
		return page("hook-secret", "The signing secret", secretBody{ID: id, Title: titleOf(&stored.Hook), Secret: secret}), nil
	case err == nil:
		return goTo(withDone(hookPath(id), "changed")), nil
	}
	body := hookEdit{Wrong: formErrors{}, Version: version}
	if err = refused(err, &body); err != nil {
		return reply{}, err
	}
	before, err := c.Cases.Hooks.GetToEdit(ctx, &v.Caller, id)
	if err != nil {
		return reply{}, err
	}
	return c.hookFormPage(ctx, v, &before, form, body)
}

// checkHook validates the form while the person types, and returns the timetable. Empty fields are not errors yet.
func (c *console) checkHook(ctx context.Context, v *visit) (reply, error) {
	form := readHookForm(v.posted)
	body := hookEdit{Form: form, Wrong: formErrors{}, Steps: preview(&form)}
	change, _ := form.change()
	err := c.Cases.Hooks.Check(ctx, &v.Caller, change)
	if err != nil && !errors.Is(err, webhook.ErrInvalid) {
		return reply{}, err
	}
	body.Wrong.collect(hookFieldIDs(), err)
	for id, empty := range map[string]bool{
		"target_url": form.TargetURL == "", "event_types": len(form.eventTypes()) == 0, "secret_key": form.Secret == "",
		"api_key": form.APIKey == "", "callback": form.CallbackURL+form.CallbackSubject == "",
		"auth": !form.Auth.started(),
	} {
		if empty {
			delete(body.Wrong, id)
		}
	}
	return fragment("hook-checked", body), nil
}

// rotateSecret gives a hook a new secret; the old one also signs for some time.
func (c *console) rotateSecret(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	r, err := c.Cases.Hooks.RotateSecret(ctx, &v.Caller, id, nil, usecase.Rotation{})
	if err != nil {
		return reply{}, err
	}
	body := secretBody{ID: id, Title: titleOf(&r.Hook), Secret: r.Secret, OldUntil: r.OldUntil}
	return page("hook-secret", "The signing secret", body), nil
}

func (c *console) deleteHookPage(ctx context.Context, v *visit) (reply, error) {
	return c.confirmDelete(ctx, v, "")
}

type deleteBody struct {
	ID      uuid.UUID
	Title   string
	Problem string
}

func (c *console) confirmDelete(ctx context.Context, v *visit, problem string) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	h, err := c.Cases.Hooks.Get(ctx, &v.Caller, id)
	if err != nil {
		return reply{}, err
	}
	answer := page("hook-delete", "Delete "+titleOf(&h), deleteBody{ID: id, Title: titleOf(&h), Problem: problem})
	if problem != "" {
		answer = answer.with(http.StatusUnprocessableEntity)
	}
	return answer, nil
}

func (c *console) deleteHook(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	h, err := c.Cases.Hooks.Get(ctx, &v.Caller, id)
	if err != nil {
		return reply{}, err
	}
	if strings.TrimSpace(v.posted.Get("confirm")) != strings.TrimSpace(titleOf(&h)) {
		return c.confirmDelete(ctx, v, fmt.Sprintf("This is not its name. Type %q to delete it.", titleOf(&h)))
	}
	if err := c.Cases.Hooks.DeleteSoon(ctx, &v.Caller, id); err != nil {
		return reply{}, err
	}
	return goTo(Root + "hooks/?deleted=" + id.String()), nil
}

// undoBody is a hook that was just deleted.
type undoBody struct {
	ID    uuid.UUID
	Title string
	// Seconds is for how long that can be undone.
	Seconds int
}

// justDeleted returns the deleted hook that the query names, or nil if its deletion can no longer be undone.
func (c *console) justDeleted(ctx context.Context, v *visit) (*undoBody, error) {
	id, err := uuid.Parse(v.form.Get("deleted"))
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // there is none
	}
	d, err := c.Cases.Hooks.Deleted(ctx, &v.Caller, id)
	switch {
	case errors.Is(err, webhook.ErrNotFound):
		return nil, nil //nolint:nilnil // there is none
	case err != nil:
		return nil, err
	}
	h := c.Cases.MaskFor(&v.Caller).Hook(d.Hook)
	return &undoBody{ID: id, Title: titleOf(&h), Seconds: int(d.Left.Seconds())}, nil
}

// undeleteHook undoes a deletion, if there is still time.
func (c *console) undeleteHook(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	err = c.Cases.Hooks.Undelete(ctx, &v.Caller, id)
	switch {
	case errors.Is(err, webhook.ErrNotFound):
		return goTo(withDone(Root+"hooks/", "undo-late")), nil
	case errors.Is(err, webhook.ErrConflict):
		return goTo(withDone(Root+"hooks/", "undo-conflict")), nil
	case err != nil:
		return reply{}, err
	}
	return goTo(withDone(hookPath(id), "undeleted")), nil
}
