package deliveryworker

import "github.com/whisperer-oms/whisperer/services/delivery-worker/internal/index"

// Index returns the worker's index, for tests that falsify it.
func (s *Service) Index() *index.Index { return s.index }
