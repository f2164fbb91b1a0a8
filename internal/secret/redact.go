package secret

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Redactor leaves values out of texts that come from libraries and servers.
type Redactor struct{ r *strings.Replacer }

// shortest is how long a value of an ordinary option must be to be looked for: "guest" would tear words apart.
const shortest = 6

// NewRedactor returns one for the values of secrets and for a connector's own passwords; nil when there is nothing
// to leave out.
func NewRedactor(values []string, c catalog.Connector) *Redactor {
	var all []string
	for _, m := range []map[string]string{c.Options, c.FormatOptions} {
		for name, v := range m {
			for _, part := range catalog.HiddenIn(name, v) {
				if len(part) >= shortest {
					all = append(all, part)
				}
			}
		}
	}
	for _, v := range values {
		all = append(all, v)
		all = append(all, strings.Split(strings.TrimSpace(v), "\n")...) // a PEM file's lines
	}
	var pairs []string
	for _, v := range all {
		for _, form := range []string{v, url.QueryEscape(v), url.PathEscape(v)} {
			if form != "" && !slices.Contains(pairs, form) {
				pairs = append(pairs, form, catalog.Hidden)
			}
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	return &Redactor{strings.NewReplacer(pairs...)}
}

// Text leaves the values out of a text.
func (r *Redactor) Text(s string) string {
	if r == nil {
		return s
	}
	return r.r.Replace(s)
}

// Error leaves the values out of an error. What it is for the engine, its code and whether it is one of ctx's, stays.
func (r *Redactor) Error(err error) error {
	if r == nil || err == nil || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var e *sqlerr.Error
	if errors.As(err, &e) {
		clean := *e
		clean.Message, clean.Detail, clean.Hint = r.Text(e.Message), r.Text(e.Detail), r.Text(e.Hint)
		return (&clean).WithCause(nil)
	}
	if text := err.Error(); r.Text(text) != text {
		return errors.New(r.Text(text))
	}
	return err
}

// Logger leaves the values out of what goes to l.
func (r *Redactor) Logger(l *slog.Logger) *slog.Logger {
	if r == nil || l == nil {
		return l
	}
	return slog.New(&handler{r, l.Handler()})
}

// handler redacts the texts and errors of log lines.
type handler struct {
	r    *Redactor
	next slog.Handler
}

func (h *handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h *handler) Handle(ctx context.Context, rec slog.Record) error {
	out := slog.NewRecord(rec.Time, rec.Level, h.r.Text(rec.Message), rec.PC)
	rec.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(h.attr(a))
		return true
	})
	return h.next.Handle(ctx, out)
}

func (h *handler) attr(a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString, slog.KindAny:
		return slog.String(a.Key, h.r.Text(v.String()))
	}
	return a
}

func (h *handler) WithAttrs(as []slog.Attr) slog.Handler {
	out := make([]slog.Attr, len(as))
	for i, a := range as {
		out[i] = h.attr(a)
	}
	return &handler{h.r, h.next.WithAttrs(out)}
}

func (h *handler) WithGroup(name string) slog.Handler { return &handler{h.r, h.next.WithGroup(name)} }
