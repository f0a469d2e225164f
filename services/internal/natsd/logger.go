package natsd

import (
	"errors"
	"fmt"

	"go.uber.org/zap"
)

// logger is a server.Logger. It keeps the fatal log line, because the server's Start returns no error: its log is the
// only place that says why it does not become ready.
type logger struct {
	log   *zap.Logger
	fatal chan error
}

// verdict returns the fatal line as an error, or nil. It must be checked even if the server reports that it is ready,
// which it also does if JetStream could not start.
func (l *logger) verdict() error {
	select {
	case err := <-l.fatal:
		return err
	default:
		return nil
	}
}

// Noticef implements server.Logger. It logs at debug level, because there are a dozen notices at each start.
func (l *logger) Noticef(format string, v ...any) {
	l.log.Debug("nats-server notice", zap.String("detail", fmt.Sprintf(format, v...)))
}

// Warnf implements server.Logger.
func (l *logger) Warnf(format string, v ...any) {
	l.log.Warn("nats-server warning", zap.String("detail", fmt.Sprintf(format, v...)))
}

// Errorf implements server.Logger.
func (l *logger) Errorf(format string, v ...any) {
	l.log.Error("nats-server error", zap.String("detail", fmt.Sprintf(format, v...)))
}

// Fatalf implements server.Logger, without ending the program.
func (l *logger) Fatalf(format string, v ...any) {
	detail := fmt.Sprintf(format, v...)
	l.log.Error("nats-server gave up", zap.String("detail", detail))
	select {
	case l.fatal <- errors.New(detail):
	default: // the first reason counts
	}
}

// Debugf implements server.Logger; debug logging is off.
func (l *logger) Debugf(string, ...any) {}

// Tracef implements server.Logger; trace logging is off.
func (l *logger) Tracef(string, ...any) {}
