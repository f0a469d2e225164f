package webhook

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// Errors that stores and rules return, always wrapped; test with errors.Is.
var (
	// ErrNotFound: the tenant has no such object. Objects of other tenants are not found either.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the change contradicts what is stored.
	ErrConflict = errors.New("conflict")
	// ErrInvalid: the caller's input breaks a rule; ValidationError says which one.
	ErrInvalid = errors.New("invalid")
	// ErrVersion: the object has changed since the version that the caller named.
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

// Is reports whether target is ErrInvalid.
func (e *ValidationError) Is(target error) bool { return target == ErrInvalid }

// Add records an error for the field with the pointer.
func (e *ValidationError) Add(pointer, format string, args ...any) {
	e.Fields = append(e.Fields, FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

// Collect adds err's fields below a prefix. If err is not a ValidationError, it becomes the error of the prefix
// itself. nil adds nothing.
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

// OrNil returns the error, or nil if no field is invalid.
func (e *ValidationError) OrNil() error {
	if len(e.Fields) == 0 {
		return nil
	}
	return e
}

// ConflictError names the stored object that conflicts; errors.Is(err, ErrConflict) holds.
type ConflictError struct {
	// ID is the id of the existing object.
	ID uuid.UUID
}

// Error names the existing id.
func (e *ConflictError) Error() string { return fmt.Sprintf("conflict with %s", e.ID) }

// Is reports whether target is ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }
