package expr

import (
	"errors"
	"iter"

	"github.com/millrace/millrace/internal/sqltypes"
)

// TableCall is one call of a set-returning function.
type TableCall struct {
	Fn   *TableFunc
	Args []sqltypes.Datum
	// Types are the types of the arguments as they stand in the call.
	Types []sqltypes.Type
	// Cols is how many columns the function has.
	Cols int
}

var errEnough = errors.New("no more rows are wanted")

// rows is the call as a sequence; a row is valid until the next one.
func (t *TableCall) rows(c *Ctx) iter.Seq2[[]sqltypes.Datum, error] {
	return func(yield func([]sqltypes.Datum, error) bool) {
		for _, a := range t.Args {
			if a == nil && !t.Fn.CalledOnNull {
				return
			}
		}
		err := t.Fn.Eval(c, t.Args, t.Types, func(row []sqltypes.Datum) error {
			if !yield(row, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(nil, err)
		}
	}
}

// Lockstep makes several calls side by side: emit gets the columns of all of them, NULLs for those that have ended, until
// all have. The slice passed to emit is used again.
func Lockstep(c *Ctx, calls []TableCall, emit func(row []sqltypes.Datum) error) error {
	next := make([]func() ([]sqltypes.Datum, error, bool), len(calls))
	width := 0
	for i := range calls {
		var stop func()
		next[i], stop = iter.Pull2(calls[i].rows(c))
		defer stop()
		width += calls[i].Cols
	}
	out := make([]sqltypes.Datum, width)
	for {
		some, at := false, 0
		for i := range calls {
			cols := out[at : at+calls[i].Cols]
			at += calls[i].Cols
			clear(cols)
			if next[i] == nil {
				continue
			}
			row, err, ok := next[i]()
			if err != nil {
				return err
			}
			if !ok {
				next[i] = nil
				continue
			}
			some = true
			copy(cols, row)
		}
		if !some {
			return nil
		}
		if err := emit(out); err != nil {
			return err
		}
	}
}
