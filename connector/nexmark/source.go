// Package nexmark is a source that generates the auction events of the Nexmark benchmark: persons who sign
// up, auctions that they open, bids on them.
//
// The idea: an event is a function of the seed and its number, so any event can be computed by itself. The
// sequence is dealt to the splits in blocks of 2,000 events: split k of p has the blocks k, k+p, k+2p, …;
// the union is the same for every p, and an offset is the number of the split's next event. Rows are written
// column by column straight into the memory of a chunk.
//
// A Reader belongs to one goroutine. The tables of a generator are immutable.
//
// Invariants: the same options and offset give the same rows; a reader with several splits takes them in
// event order, so event time never jumps by more than a block between them.
//
// It draws its own random numbers: ids and times are those of the other implementations, texts and prices
// have their distributions but not their values. Start at Source, then generator and block.bids.
package nexmark

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
	"github.com/millrace/millrace/internal/sqltypes"
)

// blockEvents is how many consecutive events a split has: 40 cycles. Part of the meaning of offsets.
const blockEvents = 2000

// maxScan bounds the events that a batch of rare rows (persons) looks through.
const maxScan = 50 * blockEvents

// Source implements connector.Source.
type Source struct{}

// Validate implements connector.Source. Without declared columns the stream has those of its table type.
func (Source) Validate(_ context.Context, spec *connector.SourceSpec) (connector.Facts, error) {
	c, err := parseOptions(spec)
	if err != nil {
		return connector.Facts{}, err
	}
	fs, err := bindColumns(c.kind, spec.Columns)
	if err != nil {
		return connector.Facts{}, err
	}
	out := facts(c.kind, fs)
	if len(spec.Columns) == 0 {
		out.Columns = defaultColumns(c.kind)
	}
	return out, nil
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

// Open implements connector.Source.
func (Source) Open(_ context.Context, spec *connector.SourceSpec, splits []connector.SplitOffset) (connector.Reader, error) {
	c, err := parseOptions(spec)
	if err != nil {
		return nil, err
	}
	fs, err := bindColumns(c.kind, spec.Columns)
	if err != nil {
		return nil, err
	}
	out := make([]field, len(spec.Cols))
	types := make([]sqltypes.Type, len(spec.Cols))
	for i, col := range spec.Cols {
		out[i] = fs[col]
		if len(spec.Columns) > 0 {
			types[i] = spec.Columns[col].Type
		} else {
			types[i] = fields[fs[col]].typ
		}
	}
	r := &Reader{config: *c, block: newBlock(newGenerator(*c), out, types), closed: make(chan struct{}), opened: time.Now()}
	r.share = c.perSecond * float64(len(splits)) / float64(c.splits)
	for _, s := range splits {
		p, err := openSplit(c, s)
		if err != nil {
			return nil, err
		}
		r.splits = append(r.splits, p)
	}
	return r, nil
}

// split is one split's position. next is an event number of one of the split's blocks.
type split struct {
	name string
	k    int64
	next int64
}

func openSplit(c *config, s connector.SplitOffset) (*split, error) {
	head, tail, _ := strings.Cut(s.Split, "/")
	k, err := strconv.ParseInt(head, 10, 64)
	if err != nil || k < 0 || k >= c.splits || tail != strconv.FormatInt(c.splits, 10) {
		return nil, fmt.Errorf("open nexmark split %q: there are %d splits", s.Split, c.splits)
	}
	p := &split{name: s.Split, k: k, next: k * blockEvents}
	if s.Offset == nil || string(s.Offset) == string(connector.FromStart) {
		return p, nil
	}
	if p.next, err = offset.One(s.Offset); err != nil {
		return nil, err
	}
	if p.next/blockEvents%c.splits != k {
		return nil, fmt.Errorf("open nexmark split %q: event %d is not in it", s.Split, p.next)
	}
	return p, nil
}

// Reader implements connector.Reader.
type Reader struct {
	config config
	block  *block
	splits []*split
	share  float64 // events/s of the wall clock that this reader may generate; 0: no limit
	opened time.Time
	given  float64 // events generated since opened
	closed chan struct{}
	once   sync.Once
	last   *delta.Chunk
}

// Next implements connector.Reader.
func (r *Reader) Next(ctx context.Context) (*connector.Batch, error) {
	s := r.earliest()
	if s == nil {
		return nil, io.EOF
	}
	allowed, err := r.wait(ctx)
	if err != nil {
		return nil, err
	}
	spans := r.take(s, allowed)
	r.last = r.block.fill(spans)
	return &connector.Batch{
		Chunk:    r.last,
		Offsets:  []connector.SplitOffset{{Split: s.name, Offset: offset.Encode(s.next)}},
		EndOfTxn: true,
		Backlog:  r.backlog(s),
		Resting:  s.next >= r.config.events,
	}, nil
}

// earliest picks the split whose next event comes first; nil when all are at their end.
func (r *Reader) earliest() *split {
	var best *split
	for _, s := range r.splits {
		if s.next < r.config.events && (best == nil || s.next < best.next) {
			best = s
		}
	}
	return best
}

// take moves s on by about a batch of rows and returns the events passed. It stops at a block's end unless
// rows are so rare that a batch takes several blocks.
func (r *Reader) take(s *split, allowed int64) []span {
	var spans []span
	rows, scanned := 0, int64(0)
	for rows == 0 || (r.config.kind != all && r.config.kind != bid && rows < delta.BatchRows*3/4 && scanned < min(maxScan, allowed)) {
		end := (s.next/blockEvents + 1) * blockEvents
		hi := min(end, s.next+int64(r.config.maxRows), s.next+max(allowed-scanned, 1), r.config.events)
		sp := span{s.next, hi}
		s.next = hi
		if hi == end {
			s.next = end + (r.config.splits-1)*blockEvents
		}
		spans = append(spans, sp)
		scanned += sp.hi - sp.lo
		rows += r.block.g.countRows(sp)
		if s.next >= r.config.events {
			break
		}
	}
	r.given += float64(scanned)
	return spans
}

var errClosed = errors.New("generate events: reader is closed")

// minWait is the shortest pause worth a timer: at high rates events come in groups.
const minWait = time.Millisecond

// wait returns how many events may be generated now, once that is at least one.
func (r *Reader) wait(ctx context.Context) (int64, error) {
	for {
		select {
		case <-r.closed:
			return 0, errClosed
		default:
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if r.share == 0 {
			return maxScan, nil
		}
		due := time.Since(r.opened).Seconds()*r.share - r.given
		if due >= 1 {
			return int64(min(due, maxScan)), nil
		}
		pause := max(time.Duration((1-due)/r.share*float64(time.Second)), minWait)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-r.closed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// backlog is the number of events that a bounded split still has; −1 for an endless one.
func (r *Reader) backlog(s *split) int64 {
	if r.config.events > 1<<60 {
		return -1
	}
	if s.next >= r.config.events {
		return 0
	}
	inBlock := min((s.next/blockEvents+1)*blockEvents, r.config.events) - s.next
	rest := r.config.events - s.next - inBlock
	period := r.config.splits * blockEvents
	full := rest / period * blockEvents
	return inBlock + full + max(rest%period-(period-blockEvents), 0)
}

// Recycle implements connector.Recycler.
func (r *Reader) Recycle(b *connector.Batch) { r.block.reuse = b.Chunk != nil && b.Chunk == r.last }

// Close implements connector.Reader.
func (r *Reader) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}
