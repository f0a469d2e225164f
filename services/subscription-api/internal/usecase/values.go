package usecase

import (
	"time"

	"github.com/whisperer-oms/whisperer/services/internal/httpsig"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// The store's types under the names that the API and the console use: they do not import the store, whose methods
// only the use cases call.
type (
	Actor              = store.Actor
	AnswerCount        = store.AnswerCount
	AuditEntry         = store.AuditEntry
	AuditFilter        = store.AuditFilter
	Bucket             = store.Bucket
	Counts             = store.Counts
	Point              = store.Point
	Series             = store.Series
	DeliveryDetail     = store.DeliveryDetail
	DeliveryFilter     = store.DeliveryFilter
	Durations          = store.Durations
	Erasure            = store.Erasure
	ErasureKind        = store.ErasureKind
	EventFilter        = store.EventFilter
	EventKey           = store.EventKey
	EventSummary       = store.EventSummary
	ExpressionFailures = store.ExpressionFailures
	Failure            = store.Failure
	HookFilter         = store.HookFilter
	HookKey            = store.HookKey
	HookOrder          = store.HookOrder
	HookPage           = store.HookPage
	HookStats          = store.HookStats
	IDRange            = store.IDRange
	IdempotencyKey     = store.IdempotencyKey
	IfVersion          = store.IfVersion
	Job                = store.Job
	JobState           = store.JobState
	NewToken           = store.NewToken
	Page               = store.Page
	PayloadFilter      = store.PayloadFilter
	Position           = store.Position
	Published          = store.Published
	RejectedEvent      = store.RejectedEvent
	RejectedFilter     = store.RejectedFilter
	ReplayError        = store.ReplayError
	RetentionPolicy    = store.RetentionPolicy
	Role               = store.Role
	Scanned[T any]     = store.Scanned[T]
	SeenEvent          = store.SeenEvent
	SigningKey         = httpsig.Key
	SortedHook         = store.SortedHook
	StatusChange       = store.StatusChange
	System             = store.System
	TimeRange          = store.TimeRange
	Token              = store.Token
	TokenState         = store.TokenState
	UnreadableError    = store.UnreadableError
	WorkerSeen         = store.WorkerSeen
)

// Values of these types.
const (
	Viewer = store.Viewer
	Editor = store.Editor
	Admin  = store.Admin

	NewestHooks       = store.NewestHooks
	OldestHooks       = store.OldestHooks
	HooksByName       = store.HooksByName
	LatestHooksFirst  = store.LatestHooksFirst
	FailingHooksFirst = store.FailingHooksFirst

	EraseIDs    = store.EraseIDs
	EraseEntity = store.EraseEntity
	ErasePath   = store.ErasePath

	JobRunning   = store.JobRunning
	JobPaused    = store.JobPaused
	JobCompleted = store.JobCompleted

	TokenActive   = store.TokenActive
	TokenExpiring = store.TokenExpiring

	ByState    = store.ByState
	ByStatus   = store.ByStatus
	ByDuration = store.ByDuration

	MaxRetried = store.MaxRetried
	Settled    = store.Settled
)

// Errors of the store.
var (
	ErrKeyReused   = store.ErrKeyReused
	ErrPath        = store.ErrPath
	ErrQuota       = store.ErrQuota
	ErrSlow        = store.ErrSlow
	ErrUnavailable = store.ErrUnavailable
)

// SeqPosition returns the position of an event in a list. The sequence number distinguishes events with the same
// time.
func SeqPosition(at time.Time, seq int64) Position {
	return store.SeqPosition(at, uint64(seq)) //nolint:gosec // never negative
}

// IDsFrom returns the range of ids that begin with at least 4 hexadecimal digits, or false for other texts.
func IDsFrom(text string) (IDRange, bool) { return store.IDsFrom(text) }
