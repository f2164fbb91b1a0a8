// Package webhook takes rows of tables by HTTP.
//
// The idea: a request is a transaction. Its body is decoded by the table's columns and written as INSERT would write it; the
// answer comes when the rows are in the log, on disk. So 200 means that they are there whatever happens, and
// anything else that none of them is.
//
// A Handler may be used by any goroutine; requests beyond a number wait, which bounds the memory for their bodies.
//
// Invariants: who does not meet a table's condition learns nothing but that; the condition sees the body as it was sent.
//
// It does not listen (internal/server), and knows neither conditions nor transactions (Table). Start at Handler.ServeHTTP.
package webhook

import (
	"context"
	"strings"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Source implements connector.Source as far as CREATE TABLE needs it: nothing is read, rows are brought.
type Source struct{}

// config is the options of a table.
type config struct {
	batched bool // a body holds several rows: a JSON array, or one on each line
	largest int64
	spec    connector.SourceSpec // with the format that holds
}

func parse(spec *connector.SourceSpec) (*config, error) {
	o := option.New(option.Connector("webhook"), spec.Connector.Options)
	c := &config{batched: o.Bool("is_batched", false), spec: *spec}
	c.largest = o.Int("max_body_bytes", 10<<20, 1, 1<<30)
	if f := spec.Connector.Format; f != "" && f != "PLAIN" {
		o.Fail("connector \"webhook\" takes FORMAT PLAIN only, not %s", f)
	}
	if err := o.Done(); err != nil {
		return nil, err
	}
	if c.spec.Connector.Encode == "" {
		c.spec.Connector.Format, c.spec.Connector.Encode = "PLAIN", encodingOf(spec)
	}
	all := c.spec
	all.Cols = nil
	dec, _, err := codec.NewDecoder(&all)
	if err != nil {
		return nil, err
	}
	if _, ok := dec.(codec.Framer); !ok && c.batched {
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "a body of ENCODE %s cannot hold several rows", c.spec.Connector.Encode)
	}
	return c, nil
}

// encodingOf is the encoding where none is given: a table whose only column is jsonb takes bodies whole, others take objects.
func encodingOf(spec *connector.SourceSpec) string {
	n, whole := 0, false
	for _, c := range spec.Columns {
		if c.Include == "" && c.Generated == "" {
			n++
			whole = c.Type.Kind == sqltypes.KJSONB
		}
	}
	if n == 1 && whole {
		return "BYTES"
	}
	return "JSON"
}

// Validate implements connector.Source.
func (Source) Validate(_ context.Context, spec *connector.SourceSpec) (connector.Facts, error) {
	for _, c := range spec.Columns {
		switch what, _, _ := strings.Cut(c.Include, ":"); what {
		case "", "header", "payload", "timestamp":
		default:
			return connector.Facts{}, sqlerr.New(sqlerr.InvalidParameterValue, "a webhook's requests have no %s to include", what).
				WithHint("They have header, payload and timestamp.")
		}
	}
	_, err := parse(spec)
	return connector.Facts{}, err
}

// Splits implements connector.Source.
func (Source) Splits(context.Context, *connector.SourceSpec) ([]string, error) { return nil, nil }

// Open implements connector.Source.
func (Source) Open(context.Context, *connector.SourceSpec, []connector.SplitOffset) (connector.Reader, error) {
	return nil, sqlerr.New(sqlerr.FeatureNotSupported, "connector \"webhook\" is for tables")
}
