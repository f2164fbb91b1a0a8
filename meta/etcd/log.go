package etcd

import (
	"context"
	"log/slog"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newZap returns a zap logger that hands warnings and errors to slog.
func newZap(to *slog.Logger) *zap.Logger {
	return zap.New(&zapToSlog{to: to})
}

// zapToSlog is a zapcore.Core. etcd's fields become attributes.
type zapToSlog struct {
	to *slog.Logger
}

// harmless are beginnings of messages that etcd logs as warnings in the way we run it.
var harmless = []string{
	"failed auto-compaction",           // another compaction came first
	"failed to compact",                // likewise
	"mvcc: required revision has been", // likewise
	"apply request took too long",      // a slow disk shows in our own metrics
	"server has been already initialized",
	"Running http and grpc server on single port", // on none
	"simple token is not cryptographically signed",
	"check file permission",
	"server has stopped; skipping GoAttach", // closed while it was starting
	"failed to update cluster version",      // closed before it could
	"failed to update storage version",      // of a store a moment old; done at the next start
	"Failed to detect schema version",
	"leader failed to send out heartbeat on time", // nobody is listening
}

// Enabled implements zapcore.Core.
func (z *zapToSlog) Enabled(level zapcore.Level) bool { return level >= zapcore.WarnLevel }

// With implements zapcore.Core.
func (z *zapToSlog) With(fields []zapcore.Field) zapcore.Core {
	return &zapToSlog{to: slog.New(z.to.Handler().WithAttrs(attrs(fields)))}
}

// Check implements zapcore.Core.
func (z *zapToSlog) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if z.Enabled(e.Level) {
		return ce.AddCore(e, z)
	}
	return ce
}

// Write implements zapcore.Core.
func (z *zapToSlog) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := slog.LevelWarn
	if e.Level >= zapcore.ErrorLevel {
		level = slog.LevelError
	}
	for _, h := range harmless {
		if strings.HasPrefix(e.Message, h) {
			level = slog.LevelDebug
		}
	}
	z.to.LogAttrs(context.Background(), level, "etcd", append(attrs(fields), slog.String("text", e.Message))...)
	return nil
}

// Sync implements zapcore.Core.
func (z *zapToSlog) Sync() error { return nil }

func attrs(fields []zapcore.Field) []slog.Attr {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	var out []slog.Attr
	for _, f := range fields {
		if v, ok := enc.Fields[f.Key]; ok {
			out = append(out, slog.Any(f.Key, v))
		}
	}
	return out
}
