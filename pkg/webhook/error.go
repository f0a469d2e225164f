package webhook

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// Sentinels that stores and rules return, always wrapped; test with errors.Is.
var (
	// ErrNotFound: no such thing for this tenant. Another tenant's thing is not found either.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the change contradicts what is stored.
	ErrConflict = errors.New("conflict")
	// ErrInvalid: the caller's input breaks a rule; see ValidationError for which.
	ErrInvalid = errors.New("invalid")
	// ErrVersion: the thing has changed since the version that the caller named.
	ErrVersion = errors.New("version mismatch")
)

// FieldError says what is wrong with one field.
type FieldError struct {
	// Pointer is the RFC 6901 JSON pointer of the field, such as /retry_countdown_config/kwargs/seconds.
	Pointer string `json:"pointer"`
	// Detail is one sentence for people. It never repeats a secret.
	Detail string `json:"detail"`
}

// Error returns the pointer, if there is one, and the detail.
func (e FieldError) Error() string {
	if e.Pointer == "" {
		return e.Detail
	}
	return e.Pointer + ": " + e.Detail
}

// ValidationError lists every field that breaks a rule; errors.Is(err, ErrInvalid) holds.
type ValidationError struct {
	Fields []FieldError
}

// Error joins the fields' errors.
func (e *ValidationError) Error() string {
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = f.Error()
	}
	return "invalid: " + strings.Join(parts, "; ")
}

// Is reports that a ValidationError is an ErrInvalid.
func (e *ValidationError) Is(target error) bool { return target == ErrInvalid }

// Add says what is wrong with the field of the pointer.
func (e *ValidationError) Add(pointer, format string, args ...any) {
	e.Fields = append(e.Fields, FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

// Collect adds err's fields below a prefix; an error that is no ValidationError becomes the prefix's own, and nil adds nothing.
func (e *ValidationError) Collect(prefix string, err error) {
	var v *ValidationError
	switch {
	case err == nil:
	case errors.As(err, &v):
		for _, f := range v.Fields {
			e.Add(prefix+f.Pointer, "%s", f.Detail)
		}
	default:
		e.Add(prefix, "%s", err)
	}
}

// OrNil returns the error, or nil where no field is wrong.
func (e *ValidationError) OrNil() error {
	if len(e.Fields) == 0 {
		return nil
	}
	return e
}

// ConflictError says which stored thing stands in the way; errors.Is(err, ErrConflict) holds.
type ConflictError struct {
	// ID is that of the thing which is there already.
	ID uuid.UUID
}

// Error names the existing id.
func (e *ConflictError) Error() string { return fmt.Sprintf("conflict with %s", e.ID) }

// Is reports that a ConflictError is an ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }
