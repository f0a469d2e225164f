package attempt

import (
	"slices"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/httpsig"
)

// unsigned returns the response for a request that was not sent because it cannot be signed.
func unsigned(started time.Time, err error) egress.Response {
	return egress.Response{Started: started, Duration: time.Since(started), Class: webhook.ClassSigning, Err: err}
}

// sign signs as the hook wants it: with HTTP Message Signatures, and with its secrets.
func (s *Sender) sign(h *egress.Header, p *prepared, id string, body envelope.Body, now time.Time) error {
	if p.hook.Config.Signature.Message() {
		key, err := s.keys.Signer(p.hook.Tenant, p.hook.Config.Signature.Algorithm)
		if err != nil {
			return err
		}
		signed, err := key.Sign(&httpsig.Message{
			Method: p.hook.Config.Method, Authority: p.target.Host(), Path: p.target.Path(), ContentType: body.ContentType, ID: id,
			Body: body.Bytes, At: now,
		})
		if err != nil {
			return err
		}
		for _, header := range signed {
			h.Set(header.Name, header.Value)
		}
	}
	p.sign(h, id, body, now)
	return nil
}

// sign signs with all secrets that are still valid. X-Whisperer-Signature and the headers of config.signature hold
// only one signature. During a rotation they use the oldest key, because a receiver that only knows these headers
// still has that one.
func (p *prepared) sign(h *egress.Header, id string, body envelope.Body, now time.Time) {
	keys := make([]signature.Key, 0, len(p.keys))
	oldest := ""
	for _, k := range p.keys {
		if k.expiresAt.IsZero() || now.Before(k.expiresAt) {
			keys, oldest = append(keys, k.key), k.secret
		}
	}
	if len(keys) == 0 {
		return
	}
	if scheme := p.hook.Config.Signature; scheme != nil && !scheme.Message() {
		for _, header := range scheme.Sign(oldest, id, body.Bytes, now) {
			h.Set(header.Name, header.Value)
		}
	}
	h.Set("Webhook-Signature", signature.Sign(id, now, body.Bytes, keys))
	for _, key := range slices.Backward(keys) {
		if legacy := signature.LegacySign(body.Bytes, key); legacy != "" {
			h.Set(signature.HeaderLegacy, legacy)
			return
		}
	}
}
