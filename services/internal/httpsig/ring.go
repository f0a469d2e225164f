package httpsig

import (
	"fmt"
	"sync"
	"time"
)

// Ring holds the keys of all tenants. The zero Ring is not loaded yet. A Ring is safe for concurrent use.
type Ring struct {
	mu      sync.RWMutex
	tenants map[string][]Key // nil before the first Replace
}

// Replace replaces all keys.
func (r *Ring) Replace(keys []Key) {
	tenants := map[string][]Key{}
	for i := range keys {
		tenants[keys[i].Tenant] = append(tenants[keys[i].Tenant], keys[i])
	}
	r.mu.Lock()
	r.tenants = tenants
	r.mu.Unlock()
}

// Put replaces all keys of one tenant; an empty list removes them.
func (r *Ring) Put(tenant string, keys []Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.tenants == nil: // the first Replace will include them
	case len(keys) == 0:
		delete(r.tenants, tenant)
	default:
		r.tenants[tenant] = keys
	}
}

// Loaded reports whether Replace has been called.
func (r *Ring) Loaded() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.tenants != nil
}

// Signer returns the key that signs a tenant's requests by the algorithm. With an error, which says what is missing,
// nothing may be sent.
func (r *Ring) Signer(tenant, algorithm string) (*Key, error) {
	if r != nil {
		r.mu.RLock()
		defer r.mu.RUnlock()
		keys := r.tenants[tenant]
		for i := range keys {
			if keys[i].State != Current || keys[i].Algorithm != algorithm {
				continue
			}
			if !keys[i].CanSign() {
				return nil, fmt.Errorf("the signing key %s cannot be opened: it is sealed with another master key", keys[i].ID)
			}
			return &keys[i], nil
		}
	}
	return nil, fmt.Errorf("there is no %s signing key yet", algorithm)
}

// Published returns the public keys of a tenant that receivers may meet now or soon. It is empty for a tenant without
// keys.
func (r *Ring) Published(tenant string, now time.Time) []JWK {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var list []JWK
	for _, k := range r.tenants[tenant] {
		if k.PublishedUntil.IsZero() || now.Before(k.PublishedUntil) {
			list = append(list, k.Public)
		}
	}
	return list
}
