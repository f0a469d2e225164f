package client

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

// TestFields say what a test sends.
type TestFields = api.TestFields

// TestHook sends an example event to a hook now and returns the receiver's answer. It waits for as long as the hook's
// timeout lets the receiver take.
func (c *Client) TestHook(ctx context.Context, id uuid.UUID, t TestFields) (api.TestResult, error) {
	var result api.TestResult
	err := c.do(ctx, request{method: http.MethodPost, path: hookPath(id, "test/"), body: t}, &result)
	return result, err
}

// TestUnsavedHook is TestHook for the hook that the fields would create.
func (c *Client) TestUnsavedHook(ctx context.Context, t TestFields) (api.TestResult, error) {
	var result api.TestResult
	err := c.do(ctx, request{method: http.MethodPost, path: hooksPath + "test/", body: t}, &result)
	return result, err
}
