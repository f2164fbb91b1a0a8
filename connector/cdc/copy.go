package cdc

import (
	"context"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/storage/row"
)

// copying is the snapshot of one table while it is read.
//
// touched says, for each key that the stream has touched, at which count of touches that was last; a piece notes the
// count at its beginning and leaves out what was touched after it.
type copying struct {
	cancel  context.CancelFunc
	touches counter
	touched map[string]int64
	ready   []*piece      // in the order in which they were read
	ahead   chan struct{} // bounds pieces read and not passed on
	ended   bool          // the last piece was passed on
	// Rows whose kept values may be missing here, to be read again by their keys.
	again    *Rows
	inAgain  map[string]bool
	asking   bool // a piece reads rows again
	keyBuf   []byte
	keyCols  []row.KeyCol
	known    bool // of a table without a key: position of the snapshot
	at       Position
	held     []held
	heldSize int
	pending  []held // of the transaction that is open
}

// piece is what one query has read.
type piece struct {
	t      *table
	of     *copying
	began  int64 // count of touches
	high   Position
	chunks []*delta.Chunk
	last   []byte
	end    bool
	again  bool
	begin  bool // only says the position of the snapshot of a table without a key
	err    error
}

// beginCopy starts to read a table's snapshot from where its offset says.
func (r *Reader) beginCopy(t *table) {
	if t.offset.Unsure {
		t.offset.restart()
	}
	ctx, cancel := context.WithCancel(r.ctx)
	c := &copying{cancel: cancel, touched: map[string]int64{}, ahead: make(chan struct{}, piecesAhead), keyCols: row.Cols(t.Key...),
		again: t.rows(), inAgain: map[string]bool{}}
	t.copy = c
	t.apart.Store(len(t.Key) == 0)
	if len(t.Key) == 0 {
		t.offset.restart()
	}
	if len(t.Key) == 0 || t.offset.Clear {
		clear := t.rows()
		clear.Truncate()
		r.out = append(r.out, connector.TableChunk{Table: t.ID, Chunk: clear.Take()})
		t.offset.Clear = false
	}
	r.wg.Add(1)
	if len(t.Key) == 0 {
		go r.readWhole(ctx, t, c) // Close waits
		return
	}
	go r.readPieces(ctx, t, c, t.offset.After) // Close waits
}

// beginAnew reads a table again from its beginning.
func (r *Reader) beginAnew(t *table) {
	if t.copy != nil {
		t.copy.cancel()
	}
	t.offset.restart()
	r.beginCopy(t)
}

// readPieces reads a table piece by piece, a few ahead of what is passed on.
func (r *Reader) readPieces(ctx context.Context, t *table, c *copying, after []byte) {
	defer r.wg.Done()
	for {
		select {
		case c.ahead <- struct{}{}:
		case <-ctx.Done():
			return
		}
		p := r.read(ctx, t, c, func(rows *Rows) (last []byte, end bool, err error) {
			return r.up.Chunk(ctx, t.Table, after, pieceRows, rows)
		})
		if !r.hand(ctx, p) || p.end || p.err != nil {
			return
		}
		after = p.last
	}
}

// read runs one query between two positions.
func (r *Reader) read(ctx context.Context, t *table, c *copying, query func(*Rows) ([]byte, bool, error)) *piece {
	p := &piece{t: t, of: c}
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		p.err = ctx.Err()
		return p
	}
	defer func() { <-r.slots }()
	p.began = c.touches.now()
	rows := t.rows()
	if p.last, p.end, p.err = query(rows); p.err != nil {
		return p
	}
	if chunk := rows.Take(); chunk != nil {
		p.chunks = []*delta.Chunk{chunk}
	}
	p.high, p.err = r.up.Position(ctx)
	return p
}

// readWhole reads a table without a key.
func (r *Reader) readWhole(ctx context.Context, t *table, c *copying) {
	defer r.wg.Done()
	var at Position
	err := r.up.Whole(ctx, t.Table, func(pos Position) {
		at = pos
		r.hand(ctx, &piece{t: t, of: c, high: at, begin: true})
	}, func(chunk *delta.Chunk) error {
		select {
		case c.ahead <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		if !r.hand(ctx, &piece{t: t, of: c, high: at, chunks: []*delta.Chunk{chunk}}) {
			return ctx.Err()
		}
		return nil
	})
	r.hand(ctx, &piece{t: t, of: c, high: at, end: true, err: err})
}

// hand gives a piece to the reader; false when nobody wants it any more.
func (r *Reader) hand(ctx context.Context, p *piece) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case r.pieces <- p:
		return true
	case <-ctx.Done():
		return false
	}
}

// arrived files a piece.
func (r *Reader) arrived(p *piece) {
	c := p.of
	if p.t.copy != c {
		return // begun anew meanwhile
	}
	if p.begin {
		c.known, c.at = true, p.high
		kept := c.held[:0]
		for _, h := range c.held {
			if c.at.Before(h.at) {
				kept = append(kept, h)
			}
		}
		c.held, c.heldSize = kept, size(kept)
		return
	}
	c.ready = append(c.ready, p)
}

// passOn yields the pieces that the stream has come up to.
func (r *Reader) passOn() error {
	for _, t := range r.tables {
		if t.copy == nil {
			continue
		}
		c := t.copy
		if len(c.pending) > 0 {
			continue // where the open transaction belongs is known at its end
		}
		for len(c.ready) > 0 && !r.at.Before(c.ready[0].high) {
			p := c.ready[0]
			c.ready = c.ready[1:]
			r.pass(t, c, p)
		}
		if c.ended && !c.asking {
			if c.again.Len() > 0 {
				r.askAgain(t, c)
				continue
			}
			t.copy = nil
			t.apart.Store(false)
			c.cancel()
			t.offset.Phase, t.offset.After, t.offset.Unsure = Live, nil, false
		}
	}
	return nil
}

func (r *Reader) pass(t *table, c *copying, p *piece) {
	for _, chunk := range p.chunks {
		if len(t.Key) > 0 {
			chunk = c.untouched(chunk, p.began)
		}
		if chunk == nil || chunk.Len() == 0 {
			continue
		}
		t.offset.Rows += int64(chunk.Len())
		r.out = append(r.out, connector.TableChunk{Table: t.ID, Chunk: chunk})
	}
	switch {
	case p.again:
		c.asking = false
		return
	case len(t.Key) > 0:
		t.offset.After = p.last
		<-c.ahead
	case !p.end:
		<-c.ahead
	}
	if p.end {
		c.ended = true
		for _, h := range c.held {
			r.out = append(r.out, connector.TableChunk{Table: t.ID, Chunk: h.c})
		}
		c.held, c.heldSize = nil, 0
	}
}

// askAgain reads the rows of which some values may be missing.
func (r *Reader) askAgain(t *table, c *copying) {
	keys := c.again.Take()
	clear(c.inAgain)
	c.asking = true
	r.wg.Add(1)
	go func() { // Close waits
		defer r.wg.Done()
		p := r.read(r.ctx, t, c, func(rows *Rows) ([]byte, bool, error) { return nil, false, r.up.Reread(r.ctx, t.Table, keys, rows) })
		p.again = true
		r.hand(r.ctx, p)
	}()
}

// note looks at changes that the stream brought of a table that is being copied. False: they are not to be passed on (now).
func (c *copying) note(t *table, chunk *delta.Chunk) bool {
	if len(t.Key) == 0 {
		c.pending = append(c.pending, held{c: chunk})
		c.heldSize += chunk.SizeBytes()
		return false
	}
	control := chunk.Cols[len(t.Columns)]
	for j := range chunk.Len() {
		i := chunk.Row(j)
		if !control.IsNull(i) && control.Bytes(i)[0] == connector.ControlTruncate {
			// What was read of it before is gone; what was read after it, the stream says as well.
			c.voidBefore()
			continue
		}
		k := c.key(chunk, i)
		c.touched[k] = c.touches.add()
		if control.IsNull(i) || c.inAgain[k] {
			continue
		}
		c.inAgain[k] = true
		t.offset.Unsure = true
		for col := range t.Columns {
			c.again.Col(col).AppendFrom(chunk.Cols[col], i)
		}
		c.again.Put()
	}
	return true
}

// settle decides what becomes of the changes of a transaction, to a table without a key: they wait for the end of the snapshot, or are in it
// already.
func (c *copying) settle(at Position) {
	if len(c.pending) == 0 {
		return
	}
	for _, h := range c.pending {
		h.at = at
		if !c.known || c.at.Before(at) {
			c.held = append(c.held, h)
		}
	}
	c.pending = nil
	c.heldSize = size(c.held)
}

// voidBefore leaves out everything that was begun to be read before now.
func (c *copying) voidBefore() {
	n := c.touches.add()
	c.touches.void(n)
}

func (c *copying) key(chunk *delta.Chunk, i int) string {
	c.keyBuf = row.AppendKey(c.keyBuf[:0], chunk.Cols, c.keyCols, i)
	return string(c.keyBuf)
}

// untouched takes out the rows that the stream has touched since the piece began; nil: none is left.
func (c *copying) untouched(chunk *delta.Chunk, began int64) *delta.Chunk {
	if began < c.touches.voided() {
		return nil
	}
	if c.touches.now() == began {
		return chunk
	}
	sel := make([]int32, 0, chunk.Len())
	for i := range chunk.Len() {
		if c.touched[c.key(chunk, i)] <= began {
			sel = append(sel, int32(i))
		}
	}
	if len(sel) == chunk.Len() {
		return chunk
	}
	return chunk.WithSel(sel)
}
