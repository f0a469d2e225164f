//go:build !unix

package daemon

import "go.uber.org/zap"

func fewer(most int, _ string, _ *zap.Logger) int { return most }
