package api

import "encoding/json"

// Field is a field of a change. It is absent (the zero value, which leaves the field unchanged), null, or a value.
type Field[T any] struct {
	set   bool
	value *T
}

// Set returns a field with a value.
func Set[T any](v T) Field[T] { return Field[T]{set: true, value: &v} }

// Null returns a field that clears the stored value.
func Null[T any]() Field[T] { return Field[T]{set: true} }

// IsZero reports whether the field is absent.
func (f Field[T]) IsZero() bool { return !f.set }

// MarshalJSON writes the value, or null.
func (f Field[T]) MarshalJSON() ([]byte, error) { return json.Marshal(f.value) }

// UnmarshalJSON reads a value, or null.
func (f *Field[T]) UnmarshalJSON(raw []byte) error { //nolint:recvcheck // encoding/json wants it so: values are written, pointers read
	f.set, f.value = true, nil
	return json.Unmarshal(raw, &f.value)
}

// Value returns the value; ok is false if the field is absent or null.
func (f Field[T]) Value() (v T, ok bool) {
	if f.value == nil {
		return v, false
	}
	return *f.value, true
}
