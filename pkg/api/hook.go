package api

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Hook is a hook as the API shows it, without its secrets. webhook.Fields describes the fields.
type Hook struct {
	ID                   uuid.UUID          `json:"id" format:"uuid"`
	Name                 string             `json:"name"`
	EventType            string             `json:"event_type" example:"package.created"`
	EventTypes           []string           `json:"event_types" nullable:"false"`
	TargetURL            string             `json:"target_url"`
	NotificationType     string             `json:"notification_type" enum:"rest"`
	HasSecret            bool               `json:"has_secret"`
	PublicKey            *string            `json:"public_key"`
	HasAPIKey            bool               `json:"has_api_key"`
	AdditionalHeaders    map[string]string  `json:"additional_headers"`
	Callback             *webhook.Callback  `json:"callback"`
	RetryCountdownConfig json.RawMessage    `json:"retry_countdown_config"`
	Config               json.RawMessage    `json:"config"`
	Labels               map[string]string  `json:"labels"`
	IsActive             bool               `json:"is_active"`
	Status               webhook.HookStatus `json:"status" enum:"active,paused,disabled"`
	DisabledReason       string             `json:"disabled_reason"`
	PausedUntil          *time.Time         `json:"paused_until"`
	Unreadable           *string            `json:"unreadable"`
	CreatedDate          time.Time          `json:"created_date"`
	ModifiedDate         time.Time          `json:"modified_date"`
	Version              int64              `json:"version"`
}

// HookFields are the fields of a hook that a caller can set. Creating a hook needs EventTypes and TargetURL. Absent
// fields get their default on creation, and are left unchanged by a change.
type HookFields struct {
	Name                 Field[string]             `json:"name,omitzero"`
	EventType            Field[string]             `json:"event_type,omitzero"`
	EventTypes           Field[[]string]           `json:"event_types,omitzero"`
	TargetURL            Field[string]             `json:"target_url,omitzero"`
	NotificationType     Field[string]             `json:"notification_type,omitzero"`
	SecretKey            Field[string]             `json:"secret_key,omitzero"`
	APIKey               Field[string]             `json:"api_key,omitzero"`
	AdditionalHeaders    Field[map[string]string]  `json:"additional_headers,omitzero"`
	Callback             Field[webhook.Callback]   `json:"callback,omitzero"`
	RetryCountdownConfig Field[json.RawMessage]    `json:"retry_countdown_config,omitzero"`
	Config               Field[json.RawMessage]    `json:"config,omitzero"`
	Labels               Field[map[string]string]  `json:"labels,omitzero"`
	IsActive             Field[bool]               `json:"is_active,omitzero"`
	Status               Field[webhook.HookStatus] `json:"status,omitzero"`
}
