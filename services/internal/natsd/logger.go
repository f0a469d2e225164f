package natsd

import (
	"errors"
	"fmt"

	"go.uber.org/zap"
)

// logger is a server.Logger. It catches the fatal line: the server's Start returns no error, and its own log is the only
// place that says why it does not get ready.
type logger struct {
	log   *zap.Logger
	fatal chan error
}

// verdict is the fatal line, or nil without one. A server whose JetStream could not start says it is ready, too.
func (l *logger) verdict() error {
	select {
	case err := <-l.fatal:
		return err
	default:
		return nil
	}
}

// Noticef implements server.Logger: a dozen lines at each start, for whoever debugs.
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
	default: // the first reason is the one
	}
}

// Debugf implements server.Logger; the server is not asked for it.
func (l *logger) Debugf(string, ...any) {}

// Tracef implements server.Logger; the server is not asked for it.
func (l *logger) Tracef(string, ...any) {}
