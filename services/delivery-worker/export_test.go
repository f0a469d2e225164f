package deliveryworker

import "github.com/whisperer-oms/whisperer/services/delivery-worker/internal/index"

// Index is what the worker knows of hooks, for tests that have it know something wrong.
func (s *Service) Index() *index.Index { return s.index }
