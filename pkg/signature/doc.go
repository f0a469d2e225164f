// Package signature signs and verifies webhooks as Standard Webhooks 1.0.0 specifies
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
//
// The signed text is "<webhook-id>.<webhook-timestamp>.<body>". It is signed with HMAC-SHA256 ("v1") and a shared
// secret, or with ed25519 ("v1a") and a private key. A request carries one signature for each valid key, so that a
// receiver which knows any one of them accepts it during a rotation.
package signature
