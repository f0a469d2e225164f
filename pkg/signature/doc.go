// Package signature signs webhooks and verifies them, as Standard Webhooks 1.0.0 lays down
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
//
// What is signed is "<webhook-id>.<webhook-timestamp>.<body>": by HMAC-SHA256 ("v1") with a shared secret, or by
// ed25519 ("v1a") with a private key. A request carries one signature for each key that is valid, so that a receiver
// which knows any one of them accepts it while secrets are being rotated.
package signature
