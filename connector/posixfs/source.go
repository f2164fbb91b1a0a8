// Package posixfs reads files below a folder as a source, and writes files into a folder as a sink.
//
// The idea of the source: a split is a file, named by its path below the root; an offset is a position in
// bytes, for Parquet a row. Files may grow and new ones may appear; a last line without its end is left alone
// until it is complete. What was read is never looked at again, so files must not be changed in place.
//
// The idea of the sink: each committed epoch with rows is one file, whose name carries the epoch. It is written
// under a hidden name, synced and renamed, so it is there as a whole or not at all, and the newest name says
// which epoch the folder holds.
//
// A Reader and a Writer belong to one goroutine each.
//
// Invariants: the rows after an offset do not depend on how the file was read before; hidden files (with a dot
// in front) are never read.
//
// It does not decode (connector/codec), decompress, or speak to object stores. Start at Source and Sink.
package posixfs

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/offset"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Source implements connector.Source.
type Source struct{}

// Validate implements connector.Source.
func (Source) Validate(_ context.Context, spec *connector.SourceSpec) (connector.Facts, error) {
	c, err := parseSource(spec)
	if err != nil {
		return connector.Facts{}, err
	}
	if spec.Connector.Encode == "PARQUET" {
		err = codec.CheckParquet(spec)
	} else {
		_, err = codec.Check(spec)
	}
	if err != nil {
		return connector.Facts{}, err
	}
	return connector.Facts{AppendOnly: true, UniqueKeys: uniqueKeys(spec)}, checkFolder("posix_fs.root", c.root)
}

// uniqueKeys finds file and offset among the included columns: a Parquet row has its own offset. A line of
// JSON may hold an array, so there is no such promise for text.
func uniqueKeys(spec *connector.SourceSpec) [][]int {
	file, off := -1, -1
	for i, c := range spec.Columns {
		switch c.Include {
		case "file":
			file = i
		case "offset":
			off = i
		}
	}
	if file < 0 || off < 0 || spec.Connector.Encode != "PARQUET" {
		return nil
	}
	return [][]int{{file, off}}
}

// Splits implements connector.Source: the files that match now.
func (Source) Splits(_ context.Context, spec *connector.SourceSpec) ([]string, error) {
	c, err := parseSource(spec)
	if err != nil {
		return nil, err
	}
	return c.list()
}

// Open implements connector.Source.
func (Source) Open(_ context.Context, spec *connector.SourceSpec, splits []connector.SplitOffset) (connector.Reader, error) {
	c, err := parseSource(spec)
	if err != nil {
		return nil, err
	}
	types := make([]sqltypes.Type, len(spec.Cols))
	for i, col := range spec.Cols {
		types[i] = spec.Columns[col].Type
	}
	r := &Reader{config: c, spec: spec, rows: codec.NewRows(types), closed: make(chan struct{}), log: spec.Logger}
	if spec.Connector.Encode != "PARQUET" {
		if r.dec, _, err = codec.NewDecoder(spec); err != nil {
			return nil, err
		}
		r.framer = r.dec.(codec.Framer)
		r.header, _ = r.dec.(codec.HeaderReader)
	}
	for _, s := range splits {
		f := &input{name: s.Split, size: -1}
		if s.Offset != nil && string(s.Offset) != string(connector.FromStart) {
			if f.next, err = offset.One(s.Offset); err != nil {
				return nil, fmt.Errorf("open file %q: %w", s.Split, err)
			}
		}
		r.files = append(r.files, f)
	}
	return r, nil
}
