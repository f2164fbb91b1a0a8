package session

import (
	"context"
	"maps"
	"strconv"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
)

// rateOf reads a limit: rows per second, 0 for a pause; not ok: "default", no limit.
func rateOf(name, text string, pos int) (n int64, ok bool, err error) {
	if strings.EqualFold(text, "default") {
		return 0, false, nil
	}
	if n, err = strconv.ParseInt(text, 10, 64); err != nil || n < 0 {
		return 0, false, sqlerr.New(sqlerr.InvalidParameterValue, "option %q must be a number of rows per second or \"default\", not %q", name, text).At(pos).
			WithHint("0 pauses it.")
	}
	return n, true, nil
}

// setRates takes limits over from the options of a CREATE.
func setRates(r *catalog.Relation, opts []parser.Option) error {
	for _, o := range opts {
		if o.Name != catalog.SourceRate && o.Name != catalog.SinkRate {
			continue
		}
		text, _ := o.Text()
		n, ok, err := rateOf(o.Name, text, o.Pos)
		if err != nil {
			return err
		}
		if ok {
			r.Rates = withRate(r.Rates, o.Name, n)
		}
	}
	return nil
}

func withRate(rates map[string]int64, name string, n int64) map[string]int64 {
	out := maps.Clone(rates)
	if out == nil {
		out = map[string]int64{}
	}
	out[name] = n
	return out
}

// alterRate runs ALTER … PAUSE, RESUME and SET source_rate_limit or sink_rate_limit. The job goes on as it is.
func (s *Session) alterRate(ctx context.Context, snap *catalog.Snapshot, old *catalog.Relation, x *parser.AlterStmt, a parser.AlterAction) (*catalog.Relation, error) {
	kind, ok := dropKinds[x.Kind]
	if ok && kind != old.Kind {
		return nil, sqlerr.New(sqlerr.WrongObjectType, "%q is not a %s", old.Name, kind).At(x.Name.Pos)
	}
	r := *old
	switch a.Kind {
	case parser.AlterPause:
		if err := limited(snap, old, old.RateKind(), a.Pos); err != nil {
			return nil, err
		}
		r.Paused = true
	case parser.AlterResume:
		if err := limited(snap, old, old.RateKind(), a.Pos); err != nil {
			return nil, err
		}
		r.Paused, r.Rates = false, maps.Clone(old.Rates)
		maps.DeleteFunc(r.Rates, func(_ string, n int64) bool { return n == 0 })
	default:
		if a.Name != catalog.SourceRate && a.Name != catalog.SinkRate {
			return nil, sqlerr.New(sqlerr.FeatureNotSupported, "ALTER %s SET %s is not supported", x.Kind, a.Name).At(a.Pos)
		}
		if err := limited(snap, old, a.Name, a.Pos); err != nil {
			return nil, err
		}
		text := "default"
		if a.Kind == parser.AlterSetParam && !a.Default {
			if len(a.Values) != 1 {
				return nil, sqlerr.New(sqlerr.InvalidParameterValue, "SET %s takes only one argument", a.Name).At(a.Pos)
			}
			if text, ok = (parser.Option{Value: a.Values[0]}).Text(); !ok {
				text = parser.Format(a.Values[0])
			}
		}
		n, ok, err := rateOf(a.Name, text, a.Pos)
		if err != nil {
			return nil, err
		}
		r.Rates = maps.Clone(old.Rates)
		if delete(r.Rates, a.Name); ok {
			r.Rates = withRate(r.Rates, a.Name, n)
		}
	}
	if err := s.apply(ctx, snap, catalog.Change{Put: []*catalog.Relation{&r}}); err != nil {
		return nil, err
	}
	if !s.staging() {
		s.m.Engine.RatesChanged()
	}
	return &r, nil
}

// limited refuses limits of a relation through which nothing comes from outside or goes there.
func limited(snap *catalog.Snapshot, r *catalog.Relation, name string, pos int) error {
	switch {
	case r.Kind == catalog.Sink && r.Connector != nil && r.Connector.Name == "blackhole":
		return sqlerr.New(sqlerr.FeatureNotSupported, "a sink into a black hole cannot be paused or slowed down").At(pos)
	case r.Captured != nil:
		return sqlerr.New(sqlerr.WrongObjectType, "table %q is fed by a source that feeds several", r.Name).At(pos).WithHint("ALTER SOURCE … PAUSE pauses all of them.")
	case r.Kind == catalog.Sink && name == catalog.SinkRate:
		return nil
	case name == catalog.SinkRate:
		return sqlerr.New(sqlerr.WrongObjectType, "%q is not a sink", r.Name).At(pos)
	case r.Connector != nil && (r.Kind == catalog.Source || r.Kind == catalog.Table):
		return nil
	case r.Kind == catalog.Table:
		return sqlerr.New(sqlerr.WrongObjectType, "table %q has no connector", r.Name).At(pos)
	}
	for _, d := range r.DependsOn {
		if up := snap.Relations[d]; up != nil && up.Kind == catalog.Source {
			return nil
		}
	}
	return sqlerr.New(sqlerr.WrongObjectType, "%s %q reads no source", r.Kind, r.Name).At(pos).
		WithHint("What it reads from can be paused: a source, a table with a connector, or a materialized view over a source.")
}

// setOption writes a limit that ALTER has set into the options of a statement, or takes it out.
func setOption(opts []parser.Option, r *catalog.Relation, name string) []parser.Option {
	out := []parser.Option{}
	for _, o := range opts {
		if o.Name != name {
			out = append(out, o)
		}
	}
	if n, ok := r.Rates[name]; ok {
		out = append(out, parser.Option{Name: name, Value: &parser.StringLit{Value: strconv.FormatInt(n, 10)}})
	}
	return out
}
