package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// typeGroup is what the form offers to tick, by the first word of the types.
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
	ID      *uuid.UUID
	Title   string
	Action  string
	Version int64
	Form    hookForm
	Groups  []typeGroup
	Wrong   complaints
	// Conflict is the hook that stands in the way.
	Conflict *uuid.UUID
	Steps    timetable
	Tenant   string
	// Try is what a test brought; nil for none.
	Try *tryBody
	// HadAuth says that logging in is set up already, of the kind AuthType.
	HadSecret, HadAPIKey, HadAuth, HadTLS bool
	AuthType                              string
}

// outcome is one that a callback can be told of.
type outcome struct {
	Value  webhook.DeliveryState
	Ticked bool
}

// Outcomes lists them.
func (e hookEdit) Outcomes() []outcome {
	var list []outcome
	for _, state := range []webhook.DeliveryState{webhook.Delivered, webhook.Dead, webhook.Waiting, webhook.Parked, webhook.Cancelled} {
		list = append(list, outcome{Value: state, Ticked: slices.Contains(e.Form.CallbackOn, string(state))})
	}
	return list
}

// Advanced reports whether a field of the folded part is in use or wrong.
func (e hookEdit) Advanced() bool {
	f := e.Form
	for _, slot := range []string{"concurrency", "rate_limit", "ordering", "maintenance", "config"} {
		if len(e.Wrong[slot]) > 0 {
			return true
		}
	}
	return f.Concurrency+f.RateLimit+f.RatePeriod+f.Ordering+f.Maintenance+f.Own != ""
}

// Slots lists the places of complaints, for answers to what is being typed.
func (hookEdit) Slots() []string {
	all := []string{"form"}
	for _, slot := range slots() {
		all = append(all, slot)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// knownTypes are the event types of the catalogue and the tenant's own.
func (c *console) knownTypes(ctx context.Context, tenant string) ([]catalogue.Type, error) {
	declared, err := c.EventTypes.EventTypes(ctx, tenant)
	if err != nil {
		return nil, err
	}
	types := catalogue.All()
	for _, t := range declared {
		types = append(types, catalogue.Type{Name: t.Name, Description: t.Description, Schema: t.Schema, Example: t.Example})
	}
	return append(types, catalogue.Operational()...), nil
}

// typeNames are all exact event types that are known to the tenant.
func (c *console) typeNames(ctx context.Context, tenant string) ([]string, error) {
	types, err := c.knownTypes(ctx, tenant)
	names := make([]string, len(types))
	for i := range types {
		names[i] = types[i].Name
	}
	return names, err
}

func (c *console) typeGroups(ctx context.Context, tenant string, ticked []string) ([]typeGroup, error) {
	types, err := c.knownTypes(ctx, tenant)
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
	form := newHookForm()
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
	h, err := c.Hooks.Hook(ctx, v.tenant, id)
	if err != nil {
		return reply{}, err
	}
	known, err := c.typeNames(ctx, v.tenant)
	if err != nil {
		return reply{}, err
	}
	return c.hookFormPage(ctx, v, &h, formOf(&h, known), hookEdit{Version: h.Version})
}

// hookFormPage shows the form for a new hook (nil) or a stored one.
func (c *console) hookFormPage(ctx context.Context, v *visit, h *webhook.Hook, form hookForm, body hookEdit) (reply, error) {
	body.Form, body.Tenant = form, v.tenant
	body.Title, body.Action = "New webhook", Root+"hooks/"
	if h != nil {
		body.ID, body.Title, body.Action = &h.ID, "Edit "+titleOf(h), hookPath(h.ID)
		body.HadSecret, body.HadAPIKey, body.HadAuth = len(h.Secrets) > 0, h.APIKey != "", h.Config.Auth != nil
		body.HadTLS = h.Config.TLS != nil
		if body.HadAuth {
			body.AuthType = h.Config.Auth.AuthType
		}
	}
	if body.Wrong == nil {
		body.Wrong = complaints{}
	}
	var err error
	if body.Groups, err = c.typeGroups(ctx, v.tenant, form.Types); err != nil {
		return reply{}, err
	}
	body.Steps = preview(&form)
	answer := page("hook-form", body.Title, body)
	if body.Wrong.any() {
		answer = answer.with(http.StatusUnprocessableEntity)
	}
	return answer, nil
}

func (c *console) know(ctx context.Context, tenant string) (knowledge, error) {
	types, err := c.typeNames(ctx, tenant)
	return knowledge{types: types, urls: c.URLs}, err
}

// knowForSaving is know with what only matters when the form is saved.
func (c *console) knowForSaving(ctx context.Context, tenant string, form *hookForm) (knowledge, error) {
	know, err := c.know(ctx, tenant)
	if err == nil && form.Filter != "" {
		know.filters, err = c.Hooks.Filters(ctx, tenant)
	}
	return know, err
}

func (c *console) createHook(ctx context.Context, v *visit) (reply, error) {
	form := readHookForm(v.posted)
	know, err := c.knowForSaving(ctx, v.tenant, &form)
	if err != nil {
		return reply{}, err
	}
	h := webhook.Hook{Tenant: v.tenant, Status: webhook.Active}
	if form.Start == "paused" {
		h.Status = webhook.Paused
	}
	body := hookEdit{Wrong: complaints{}}
	secret := form.apply(&h, know, body.Wrong)
	if body.Wrong.any() {
		return c.hookFormPage(ctx, v, nil, form, body)
	}
	stored, err := c.Hooks.CreateHook(ctx, v.actor(), h, c.HookQuota, store.IdempotencyKey{})
	if err != nil {
		if err = refused(err, &body); err != nil {
			return reply{}, err
		}
		return c.hookFormPage(ctx, v, nil, form, body)
	}
	if secret == "" {
		return goTo(withDone(hookPath(stored.ID), "created")), nil
	}
	return page("hook-secret", "The signing secret", secretBody{ID: stored.ID, Title: titleOf(&stored), Secret: secret, New: true}), nil
}

// secretBody shows a secret, this once.
type secretBody struct {
	ID     uuid.UUID
	Title  string
	Secret string
	New    bool
	// OldUntil is until when the secret before signs, too; zero where it does not.
	OldUntil time.Time
}

// refused turns what the store refuses into complaints; other errors it returns.
func refused(err error, body *hookEdit) error {
	var conflict *webhook.ConflictError
	switch {
	case errors.As(err, &conflict):
		body.Conflict = &conflict.ID
		body.Wrong.add("form", "There is a webhook with this target URL and these event types already.")
	case errors.Is(err, webhook.ErrConflict):
		body.Wrong.add("form", "There is a webhook with this target URL and these event types already.")
	case errors.Is(err, webhook.ErrVersion):
		body.Wrong.add("form", "Somebody else has changed this webhook since you opened it. Open it again to see the change; what you typed is still below.")
	case errors.Is(err, store.ErrQuota):
		body.Wrong.add("form", "The tenant has as many webhooks as it may have. Delete one that is not needed.")
	default:
		return err
	}
	return nil
}

// errWrong says that the form has complaints, to the store that is about to save it.
var errWrong = errors.New("form is wrong")

func (c *console) changeHook(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	form := readHookForm(v.posted)
	know, err := c.knowForSaving(ctx, v.tenant, &form)
	if err != nil {
		return reply{}, err
	}
	version, err := strconv.ParseInt(v.posted.Get("version"), 10, 64)
	if err != nil {
		return reply{}, errBadForm
	}
	body := hookEdit{Wrong: complaints{}, Version: version}
	var before webhook.Hook
	secret := ""
	stored, err := c.Hooks.UpdateHook(ctx, v.actor(), v.tenant, id, store.IfVersion{version}, func(h *webhook.Hook) error {
		before = *h
		secret = form.apply(h, know, body.Wrong)
		if body.Wrong.any() {
			return errWrong
		}
		return nil
	})
	switch {
	case err == nil && secret != "":
		return page("hook-secret", "The signing secret", secretBody{ID: id, Title: titleOf(&stored), Secret: secret}), nil
	case err == nil:
		return goTo(withDone(hookPath(id), "changed")), nil
	case !errors.Is(err, errWrong):
		if err = refused(err, &body); err != nil {
			return reply{}, err
		}
		if before, err = c.Hooks.Hook(ctx, v.tenant, id); err != nil {
			return reply{}, err
		}
	}
	return c.hookFormPage(ctx, v, &before, form, body)
}

// checkHook answers what is being typed: what is wrong so far, and the timetable. What was not filled in yet is not
// complained about.
func (c *console) checkHook(ctx context.Context, v *visit) (reply, error) {
	form := readHookForm(v.posted)
	know, err := c.know(ctx, v.tenant)
	if err != nil {
		return reply{}, err
	}
	h := webhook.Hook{Tenant: v.tenant, Status: webhook.Active}
	body := hookEdit{Form: form, Wrong: complaints{}, Steps: preview(&form)}
	if form.Auth.Mode == "keep" {
		form.Auth.Mode = "none"
	}
	form.apply(&h, know, body.Wrong)
	for slot, empty := range map[string]bool{
		"target_url": form.TargetURL == "", "event_types": len(h.EventTypes) == 0, "secret_key": form.Secret == "",
		"api_key": form.APIKey == "", "callback": form.CallbackURL+form.CallbackSubject == "",
		"auth": !form.Auth.started(),
	} {
		if empty {
			delete(body.Wrong, slot)
		}
	}
	return fragment("hook-checked", body), nil
}

// rotateSecret gives a hook a new secret, beside which the old one signs for some time.
func (c *console) rotateSecret(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	body := secretBody{ID: id, Secret: signature.GenerateSecret()}
	h, err := c.Hooks.UpdateHook(ctx, v.actor(), v.tenant, id, nil, func(h *webhook.Hook) error {
		body.OldUntil = h.RotateSecret(body.Secret, c.now())
		return nil
	})
	if err != nil {
		return reply{}, err
	}
	body.Title = titleOf(&h)
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
	h, err := store.AsFarAsReadable(c.Hooks.Hook(ctx, v.tenant, id))
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
	h, err := store.AsFarAsReadable(c.Hooks.Hook(ctx, v.tenant, id))
	if err != nil {
		return reply{}, err
	}
	if strings.TrimSpace(v.posted.Get("confirm")) != strings.TrimSpace(titleOf(&h)) {
		return c.confirmDelete(ctx, v, fmt.Sprintf("This is not its name. Type %q to delete it.", titleOf(&h)))
	}
	if err := c.Hooks.DeleteHook(ctx, v.actor(), v.tenant, id, nil); err != nil {
		return reply{}, err
	}
	return goTo(withDone(Root+"hooks/", "deleted")), nil
}
