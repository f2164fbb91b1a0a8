package pgdiff

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
)

// Answer is all that a client sees of one statement.
type Answer struct {
	Columns []Column
	Rows    [][][]byte // nil is NULL
	Tag     string
	Err     *pgconn.PgError
}

// Column is what a row description says of one column.
type Column struct {
	Name   string
	Type   uint32
	Typmod int32
	Size   int16
}

// Format is how values are sent.
type Format int16

// The formats of the protocol.
const (
	Text   Format = 0
	Binary Format = 1
)

// Ask runs each statement by itself, in the extended protocol, and returns what was answered. Its error is a
// failure of the connection; what the server refuses is in the answers.
func Ask(ctx context.Context, c *pgconn.PgConn, format Format, statements []string) ([]Answer, error) {
	p := c.StartPipeline(ctx)
	for _, sql := range statements {
		p.SendQueryParams(sql, nil, nil, nil, []int16{int16(format)})
		p.SendPipelineSync()
	}
	if err := p.Flush(); err != nil {
		_ = p.Close()
		return nil, fmt.Errorf("send statements: %w", err)
	}
	out := make([]Answer, len(statements))
	for i := range out {
		if err := out[i].take(p); err != nil {
			_ = p.Close()
			return nil, fmt.Errorf("%w, in answer to %s", err, statements[i])
		}
	}
	return out, p.Close()
}

// take reads results up to the next sync.
func (a *Answer) take(p *pgconn.Pipeline) error {
	for {
		result, err := p.GetResults()
		var e *pgconn.PgError
		switch {
		case errors.As(err, &e):
			a.Err = e
			continue
		case err != nil:
			return err
		}
		switch r := result.(type) {
		case *pgconn.PipelineSync:
			return nil
		case *pgconn.ResultReader:
			if err := a.read(r); err != nil && !errors.As(err, &a.Err) {
				return err
			}
		}
	}
}

func (a *Answer) read(r *pgconn.ResultReader) error {
	for _, d := range r.FieldDescriptions() {
		a.Columns = append(a.Columns, Column{d.Name, d.DataTypeOID, d.TypeModifier, d.DataTypeSize})
	}
	for r.NextRow() {
		row := make([][]byte, len(r.Values()))
		for i, v := range r.Values() {
			row[i] = bytes.Clone(v)
			if v != nil && row[i] == nil {
				row[i] = []byte{}
			}
		}
		a.Rows = append(a.Rows, row)
	}
	tag, err := r.Close()
	a.Tag = tag.String()
	return err
}

// Difference is one thing that two answers disagree in.
type Difference struct {
	What         string // see Compare
	Ours, Theirs string
}

func (d Difference) String() string {
	return fmt.Sprintf("%s:\n    ours   %s\n    theirs %s", d.What, d.Ours, d.Theirs)
}

// Compare returns what ours and theirs disagree in. What it is called: "error" (one of them is one), "sqlstate",
// "position", "message", "columns" (their number), "name", "type", "typmod", "size", "rows" (their number), "value", "tag".
// If one thing makes others meaningless only that is named. any says that the order of rows is not determined, so that
// of two errors neither is the first.
func Compare(ours, theirs *Answer, any bool) []Difference {
	if ours.Err != nil || theirs.Err != nil {
		if any && ours.Err != nil && theirs.Err != nil {
			return nil
		}
		return compareErrors(ours, theirs)
	}
	var out []Difference
	add := func(what, o, t string) {
		if o != t {
			out = append(out, Difference{what, o, t})
		}
	}
	if len(ours.Columns) != len(theirs.Columns) {
		add("columns", fmt.Sprint(len(ours.Columns)), fmt.Sprint(len(theirs.Columns)))
		return out
	}
	for i, o := range ours.Columns {
		t := theirs.Columns[i]
		add("name", o.Name, t.Name)
		add("type", fmt.Sprint(o.Type), fmt.Sprint(t.Type))
		add("typmod", fmt.Sprint(o.Typmod), fmt.Sprint(t.Typmod))
		add("size", fmt.Sprint(o.Size), fmt.Sprint(t.Size))
	}
	add("tag", ours.Tag, theirs.Tag)
	or, tr := ours.lines(!any), theirs.lines(!any)
	if len(or) != len(tr) {
		add("rows", fmt.Sprintf("%d: %s", len(or), strings.Join(or, " ; ")), fmt.Sprintf("%d: %s", len(tr), strings.Join(tr, " ; ")))
		return out
	}
	for i := range or {
		if or[i] != tr[i] {
			add("value", or[i], tr[i])
			break // the first says enough
		}
	}
	return out
}

func compareErrors(ours, theirs *Answer) []Difference {
	o, t := ours.Err, theirs.Err
	switch {
	case o == nil:
		return []Difference{{"error", ours.String(), theirs.String()}}
	case t == nil:
		return []Difference{{"error", ours.String(), theirs.String()}}
	case o.Code != t.Code:
		return []Difference{{"sqlstate", ours.String(), theirs.String()}}
	}
	var out []Difference
	if o.Message != t.Message || o.Detail != t.Detail || o.Hint != t.Hint {
		out = append(out, Difference{"message", ours.String(), theirs.String()})
	}
	if o.Position != t.Position {
		out = append(out, Difference{"position", fmt.Sprintf("%d (%s)", o.Position, o.Message), fmt.Sprintf("%d (%s)", t.Position, t.Message)})
	}
	return out
}

func (a *Answer) lines(ordered bool) []string {
	var out []string
	for _, row := range a.Rows {
		out = append(out, printRow(row))
	}
	if !ordered {
		slices.Sort(out)
	}
	return out
}

// String prints the answer on one line.
func (a *Answer) String() string {
	if e := a.Err; e != nil {
		s := e.Code + " " + e.Message
		if e.Detail != "" {
			s += " DETAIL " + e.Detail
		}
		if e.Hint != "" {
			s += " HINT " + e.Hint
		}
		return s
	}
	return strings.Join(a.lines(true), " ; ")
}

func printRow(row [][]byte) string {
	parts := make([]string, len(row))
	for i, v := range row {
		parts[i] = printValue(v)
	}
	return strings.Join(parts, " | ")
}

// printValue prints text as it is and other bytes in hexadecimal.
func printValue(v []byte) string {
	switch {
	case v == nil:
		return "NULL"
	case !utf8.Valid(v) || bytes.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }):
		return fmt.Sprintf("\\x%x", v)
	}
	return string(v)
}
