// Package datagen is a source that makes up rows: sequences and random values of every scalar type, arrays
// and composite types.
//
// The idea: the value of a column in row n is a function of the column's options and n. Split k of p has the
// rows k, k+p, k+2p, …; an offset is the split's next row together with the base time that time stamps lie
// before: an option, or the wall clock when the split was first opened. So the same offset gives the same rows.
//
// A Reader belongs to one goroutine.
//
// It has no correlations between columns; for those there is connector/nexmark. Start at Source.
package datagen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/offset"
	"github.com/millrace/millrace/internal/delta"
)

// Source implements connector.Source.
type Source struct{}

// Validate implements connector.Source.
func (Source) Validate(_ context.Context, spec *connector.SourceSpec) (connector.Facts, error) {
	c, err := parseOptions(spec)
	if err != nil {
		return connector.Facts{}, err
	}
	f := connector.Facts{AppendOnly: true}
	for i, g := range c.columns {
		if spec.Columns[i].Generated == "" && spec.Connector.Options["fields."+spec.Columns[i].Name+".kind"] == "sequence" && g.typ.IsInteger() {
			f.UniqueKeys = append(f.UniqueKeys, []int{i})
		}
	}
	return f, nil
}

// Splits implements connector.Source: a split is named k/p.
func (Source) Splits(_ context.Context, spec *connector.SourceSpec) ([]string, error) {
	c, err := parseOptions(spec)
	if err != nil {
		return nil, err
	}
	out := make([]string, c.splits)
	for k := range out {
		out[k] = fmt.Sprintf("%d/%d", k, c.splits)
	}
	return out, nil
}

// split is one split's position.
type split struct {
	name string
	k    int64
	next int64 // the row's number among all splits' rows
	base int64 // µs since 1970
}

// Open implements connector.Source.
func (Source) Open(_ context.Context, spec *connector.SourceSpec, splits []connector.SplitOffset) (connector.Reader, error) {
	c, err := parseOptions(spec)
	if err != nil {
		return nil, err
	}
	r := &Reader{config: c, spec: spec, opened: time.Now(), closed: make(chan struct{})}
	for _, col := range spec.Cols {
		r.columns = append(r.columns, c.columns[col])
	}
	r.share = c.perSecond * float64(len(splits)) / float64(c.splits)
	for _, s := range splits {
		p, err := openSplit(c, s, r.opened)
		if err != nil {
			return nil, err
		}
		r.splits = append(r.splits, p)
	}
	return r, nil
}

func openSplit(c *config, s connector.SplitOffset, now time.Time) (*split, error) {
	head, tail, _ := strings.Cut(s.Split, "/")
	k, err := strconv.ParseInt(head, 10, 64)
	if err != nil || k < 0 || k >= c.splits || tail != strconv.FormatInt(c.splits, 10) {
		return nil, fmt.Errorf("open datagen split %q: there are %d splits", s.Split, c.splits)
	}
	p := &split{name: s.Split, k: k, next: k, base: now.UnixMicro()}
	if c.base >= 0 {
		p.base = c.base
	}
	if s.Offset == nil || string(s.Offset) == string(connector.FromStart) {
		return p, nil
	}
	n, err := offset.Decode(s.Offset, 2)
	if err != nil {
		return nil, err
	}
	if n[0]%c.splits != k {
		return nil, fmt.Errorf("open datagen split %q: row %d is not in it", s.Split, n[0])
	}
	p.next, p.base = n[0], n[1]
	return p, nil
}

// Reader implements connector.Reader.
type Reader struct {
	config  *config
	spec    *connector.SourceSpec
	columns []*generator
	splits  []*split
	turn    int
	share   float64 // rows/s that this reader may make; 0: no limit
	opened  time.Time
	made    float64
	closed  chan struct{}
	once    sync.Once
}

// Next implements connector.Reader.
func (r *Reader) Next(ctx context.Context) (*connector.Batch, error) {
	s := r.pick()
	if s == nil {
		return nil, io.EOF
	}
	allowed, err := r.wait(ctx)
	if err != nil {
		return nil, err
	}
	left := (r.config.rows - s.next + r.config.splits - 1) / r.config.splits
	n := int(min(int64(r.spec.BatchRows()), allowed, left))
	cols := make([]*delta.Vec, len(r.columns))
	for i, g := range r.columns {
		cols[i] = newVec(g.typ, n)
		for row := range int64(n) {
			if err := g.fill(g, cols[i], s.next+row*r.config.splits, s.base); err != nil {
				return nil, fmt.Errorf("make a value of type %s: %w", g.typ, err)
			}
		}
	}
	s.next += int64(n) * r.config.splits
	r.made += float64(n)
	b := &connector.Batch{
		Chunk:    delta.NewChunk(cols, nil, n),
		Offsets:  []connector.SplitOffset{{Split: s.name, Offset: offset.Encode(s.next, s.base)}},
		EndOfTxn: true, Backlog: left - int64(n), Resting: left == int64(n),
	}
	if r.config.rows == forever {
		b.Backlog = -1
	}
	return b, nil
}

// pick returns the next split, in turn, that is not at its end.
func (r *Reader) pick() *split {
	for range r.splits {
		s := r.splits[r.turn]
		r.turn = (r.turn + 1) % len(r.splits)
		if s.next < r.config.rows {
			return s
		}
	}
	return nil
}

var errClosed = errors.New("make up rows: reader is closed")

// wait returns how many rows may be made now, once that is at least one.
func (r *Reader) wait(ctx context.Context) (int64, error) {
	for {
		select {
		case <-r.closed:
			return 0, errClosed
		case <-ctx.Done():
			return 0, ctx.Err()
		default:
		}
		if r.share == 0 {
			return delta.BatchRows, nil
		}
		due := time.Since(r.opened).Seconds()*r.share - r.made
		if due >= 1 {
			return int64(min(due, delta.BatchRows)), nil
		}
		timer := time.NewTimer(max(time.Duration((1-due)/r.share*float64(time.Second)), time.Millisecond))
		select {
		case <-ctx.Done():
		case <-r.closed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Close implements connector.Reader.
func (r *Reader) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}
