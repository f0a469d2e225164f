package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
)

// hookInsertColumns are the columns of hookRow that are given for a new hook. The database sets the others.
const hookInsertColumns = `id, tenant, name, event_types, target_url, status, disabled_reason, sealed, sealed_key_id, spec`

// hookColumns are all columns of hookRow.
const hookColumns = hookInsertColumns + `, created_at, modified_at, version, paused_until`

// hookRow is a row of hooks. It has columns for what is searched by, one for the sealed secrets, and one document for
// everything else.
type hookRow struct {
	ID             uuid.UUID      `db:"id"`
	Tenant         string         `db:"tenant"`
	Name           string         `db:"name"`
	EventTypes     pq.StringArray `db:"event_types"`
	TargetURL      string         `db:"target_url"`
	Status         string         `db:"status"`
	DisabledReason string         `db:"disabled_reason"`
	Sealed         []byte         `db:"sealed"`
	SealedKeyID    *string        `db:"sealed_key_id"`
	Spec           string         `db:"spec"`
	CreatedAt      time.Time      `db:"created_at"`
	ModifiedAt     time.Time      `db:"modified_at"`
	Version        int64          `db:"version"`
	PausedUntil    sql.NullTime   `db:"paused_until"`
}

// hookSecrets is the part of a hook that is sealed.
type hookSecrets struct {
	Secrets []webhook.Secret  `json:"secrets,omitempty"`
	APIKey  string            `json:"api_key,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Auth    *webhook.Auth     `json:"auth,omitempty"`
	TLS     *webhook.TLS      `json:"tls,omitempty"`
}

// newHookRow converts a hook into a row, and seals its secrets for the hook's id.
func newHookRow(h *webhook.Hook, ring *seal.Ring) (hookRow, error) {
	row := hookRow{
		ID: h.ID, Tenant: h.Tenant, Name: h.Name, EventTypes: h.EventTypes, TargetURL: h.TargetURL, Status: string(h.Status),
		DisabledReason: h.DisabledReason, Spec: string(h.Document()), CreatedAt: h.CreatedAt, ModifiedAt: h.ModifiedAt, Version: h.Version,
		PausedUntil: sql.NullTime{Time: h.PausedUntil, Valid: !h.PausedUntil.IsZero()},
	}
	s := hookSecrets{Secrets: h.Secrets, APIKey: h.APIKey, Headers: h.Headers, Auth: h.Config.Auth, TLS: h.Config.TLS}
	if len(s.Secrets) > 0 || s.APIKey != "" || len(s.Headers) > 0 || s.Auth != nil || s.TLS != nil {
		plain, err := json.Marshal(s)
		if err != nil {
			return hookRow{}, fmt.Errorf("encode secrets of hook %s: %w", h.ID, err)
		}
		box := ring.Seal(plain, h.ID.String())
		row.Sealed, row.SealedKeyID = box.Box, &box.KeyID
	}
	return row, nil
}

// writeHook writes the values of hookInsertColumns.
func writeHook(c *copyOut, r *hookRow) {
	c.uuid(r.ID[:])
	c.text(r.Tenant)
	c.text(r.Name)
	c.texts(r.EventTypes)
	c.text(r.TargetURL)
	c.text(r.Status)
	c.text(r.DisabledReason)
	c.optionalBytes(r.Sealed)
	c.optionalText(r.SealedKeyID)
	c.text(r.Spec)
	c.end()
}

// UnreadableError reports that a hook exists, but that not all of it can be read; Hook.Unreadable has the reason. Most
// operations on a hook need all of it.
type UnreadableError struct{ Hook webhook.Hook }

// Error returns the hook's id and the reason.
func (e *UnreadableError) Error() string {
	return fmt.Sprintf("hook %s cannot be read: %s", e.Hook.ID, e.Hook.Unreadable)
}

// IgnoreUnreadable turns an UnreadableError into the readable part of the hook, for callers that only display it.
func IgnoreUnreadable(h webhook.Hook, err error) (webhook.Hook, error) {
	if unreadable, ok := errors.AsType[*UnreadableError](err); ok {
		return unreadable.Hook, nil
	}
	return h, err
}

// hook converts a row into a hook, and opens its secrets. The error is an *UnreadableError.
func (r *hookRow) hook(ring *seal.Ring) (webhook.Hook, error) {
	h := r.shown(ring)
	if h.Unreadable != "" {
		return webhook.Hook{}, &UnreadableError{Hook: h}
	}
	return h, nil
}

// known converts a row into a hook for callers that need every hook. If the hook cannot be read as a whole, known returns its
// readable part, with the reason in Unreadable.
func (r *hookRow) known(ring *seal.Ring, parse func(spec string) (webhook.Hook, error)) webhook.Hook {
	h, err := r.hookWith(ring, parse)
	if err == nil {
		return h
	}
	h.Unreadable = err.Error()
	if errors.Is(err, seal.ErrUnknownKey) {
		h.Unreadable = "its secrets are sealed with master key " + *r.SealedKeyID + ", which is not in WHISPERER_MASTER_KEY here"
	}
	return h
}

// shown does what known does, with the parser for a single hook.
func (r *hookRow) shown(ring *seal.Ring) webhook.Hook { return r.known(ring, parseSpec) }

// parseSpec returns a hook that has only the fields of the document.
func parseSpec(spec string) (h webhook.Hook, err error) {
	err = h.ReadDocument(json.RawMessage(spec))
	return h, err
}

// hookWith converts a row into a hook. On an error, it also returns the readable part.
func (r *hookRow) hookWith(ring *seal.Ring, parse func(spec string) (webhook.Hook, error)) (webhook.Hook, error) {
	h, err := parse(r.Spec)
	h.ID, h.Tenant, h.Name, h.EventTypes, h.TargetURL = r.ID, r.Tenant, r.Name, r.EventTypes, r.TargetURL
	h.Status, h.DisabledReason = webhook.HookStatus(r.Status), r.DisabledReason
	h.CreatedAt, h.ModifiedAt, h.Version = r.CreatedAt.UTC(), r.ModifiedAt.UTC(), r.Version
	if h.PausedUntil = (time.Time{}); r.PausedUntil.Valid {
		h.PausedUntil = r.PausedUntil.Time.UTC()
	}
	if err != nil {
		return h, fmt.Errorf("hook %s: %w", r.ID, err)
	}
	if r.SealedKeyID == nil {
		return h, nil
	}
	plain, err := ring.Open(seal.Sealed{KeyID: *r.SealedKeyID, Box: r.Sealed}, r.ID.String())
	if err != nil {
		return h, fmt.Errorf("open secrets of hook %s: %w", r.ID, err)
	}
	var s hookSecrets
	if err := json.Unmarshal(plain, &s); err != nil {
		return h, fmt.Errorf("read secrets of hook %s: %w", r.ID, err)
	}
	h.Secrets, h.APIKey, h.Headers, h.Config.Auth, h.Config.TLS = s.Secrets, s.APIKey, s.Headers, s.Auth, s.TLS
	return h, nil
}
