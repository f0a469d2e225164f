package api

import "github.com/google/uuid"

// Problem is an error response (RFC 9457).
type Problem struct {
	Type       string         `json:"type" doc:"Always about:blank: the status says what kind of problem it is"`
	Title      string         `json:"title" doc:"The status in words"`
	Status     int            `json:"status" doc:"The HTTP status"`
	Detail     string         `json:"detail" doc:"What is wrong, for people"`
	Errors     []FieldProblem `json:"errors,omitempty" doc:"Each field or parameter that is wrong"`
	ExistingID *uuid.UUID     `json:"existing_id,omitempty" format:"uuid" doc:"The hook that has the same target URL and event types"`
}

// FieldProblem says what is wrong with one field.
type FieldProblem struct {
	Pointer string `json:"pointer" doc:"RFC 6901 JSON pointer into the request body, or the name of a parameter"`
	Detail  string `json:"detail" doc:"What is wrong with it, for people"`
}
