package cdc

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/millrace/millrace/connector"
)

// Phase is how far the snapshot of a table is.
type Phase string

// The phases of a table.
const (
	Copying   Phase = "copying"   // its rows are being read for the first time
	Recopying Phase = "recopying" // they are read anew, after a change that the log does not tell row by row
	Live      Phase = "live"      // it is what the upstream table was at the stream's position
	Stopped   Phase = "stopped"   // it is as it was before Error, and the log goes on without it
)

// TableOffset is the offset of a table's split, stored as JSON (docs/format/state.md).
type TableOffset struct {
	Phase Phase
	After []byte `json:",omitempty"` // last key that was passed on, in the connector's form
	Rows  int64  `json:",omitempty"` // that the snapshot has passed on
	Known []byte `json:",omitempty"` // see Table.Known
	// Unsure: some rows that were passed on lack values, and the list of them is lost on a restart: the snapshot begins again.
	Unsure bool `json:",omitempty"`
	// Gone: the table does not exist upstream any more.
	Gone bool `json:",omitempty"`
	// Error says why the table is stopped.
	Error string `json:",omitempty"`
	// Clear: the snapshot begins by emptying the table.
	Clear bool `json:",omitempty"`
}

// Anew is the offset of a table that is to be looked at and read as if for the first time, in place of what it holds.
func Anew() []byte { return TableOffset{Phase: Recopying, Clear: true}.bytes() }

// ParseTableOffset reads the offset of a table's split; nil and connector.FromStart are a table that was never read.
func ParseTableOffset(b []byte) (TableOffset, error) {
	if b == nil || string(b) == string(connector.FromStart) {
		return TableOffset{Phase: Copying}, nil
	}
	var o TableOffset
	if err := json.Unmarshal(b, &o); err != nil {
		return o, fmt.Errorf("read the offset of a captured table: %w", err)
	}
	switch o.Phase {
	case Copying, Recopying, Live, Stopped:
		return o, nil
	}
	return o, fmt.Errorf("read the offset of a captured table: phase %q", o.Phase)
}

func (o *TableOffset) equal(x *TableOffset) bool {
	return o.Phase == x.Phase && o.Rows == x.Rows && o.Unsure == x.Unsure && o.Gone == x.Gone && o.Error == x.Error && o.Clear == x.Clear && bytes.Equal(o.After, x.After) && bytes.Equal(o.Known, x.Known)
}

func (o TableOffset) bytes() []byte {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err) // strings, numbers and bytes only
	}
	return b
}
