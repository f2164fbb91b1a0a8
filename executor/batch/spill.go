package batch

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"syscall"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
)

// spillFanout is the number of partitions that rows are spread over at a time, and spillLevels how often a partition
// that is still too large is spread again. What is too large then has a single key in most of its rows.
const (
	spillFanout = 16
	spillLevels = 6
)

// crowded reports whether an operator that holds (or will hold) own bytes, known of them accounted for, should spill:
// the query is past half of its limit, for workers a quarter, and the operator is not a small part of that.
func (q *query) crowded(own, known int64) bool {
	limit := q.mem.limit
	most, least := limit/2, limit/8
	if q.shared {
		most, least = limit/4, limit/32 // what workers hold is held twice for a moment when it is merged
	}
	return limit > 0 && q.opt.TempDir != "" && q.mem.used.Load()+own-known > most && own > least
}

// spillFile holds chunks on disk: written in order, then read in order, once. The file has no name any more, so that
// nothing is left behind whatever happens.
//
// Each chunk is its length in bytes (u32), then the body of appendChunk. Files do not outlive the process, so the
// format has no version.
type spillFile struct {
	q     *query
	types []sqltypes.Type
	f     *os.File
	w     *bufio.Writer
	r     *bufio.Reader
	buf   []byte
	rows  int64
}

func newSpillFile(q *query, types []sqltypes.Type) (*spillFile, error) {
	f, err := os.CreateTemp(q.opt.TempDir, "query-*.spill")
	if err != nil {
		return nil, spillError("create", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(spillError("unlink", err), f.Close())
	}
	q.spills.Add(1)
	return &spillFile{q: q, types: types, f: f, w: bufio.NewWriterSize(f, 1<<15)}, nil
}

func spillError(what string, err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return sqlerr.New(sqlerr.DiskFull, "could not write temporary file: no space left on device").WithCause(err)
	}
	return fmt.Errorf("%s temporary file of a query: %w", what, err)
}

// add writes a chunk.
func (s *spillFile) add(ch *delta.Chunk) error {
	ch = ch.Compact()
	if ch.Rows == 0 {
		return nil
	}
	s.rows += int64(ch.Rows)
	s.buf = appendChunk(append(s.buf[:0], 0, 0, 0, 0), ch, s.types)
	binary.LittleEndian.PutUint32(s.buf, uint32(len(s.buf)-4))
	if _, err := s.w.Write(s.buf); err != nil {
		return spillError("write", err)
	}
	return nil
}

// Open implements Operator: it ends the writing and begins the reading.
func (s *spillFile) Open(context.Context) error {
	if err := s.w.Flush(); err != nil {
		return spillError("write", err)
	}
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return spillError("read", err)
	}
	s.w, s.buf = nil, nil
	s.r = bufio.NewReaderSize(s.f, 1<<15)
	return nil
}

// Next implements ChunkIter.
func (s *spillFile) Next(ctx context.Context) (*delta.Chunk, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(s.r, head[:]); err == io.EOF {
		return nil, nil
	} else if err != nil {
		return nil, spillError("read", err)
	}
	body := make([]byte, binary.LittleEndian.Uint32(head[:]))
	if _, err := io.ReadFull(s.r, body); err != nil {
		return nil, spillError("read", err)
	}
	ch, err := decodeChunk(body, s.types)
	if err != nil {
		return nil, spillError("decode", err)
	}
	return ch, nil
}

// Close implements ChunkIter.
func (s *spillFile) Close() {
	if s != nil && s.f != nil {
		_ = s.f.Close() // nothing in it is wanted any more
		s.f = nil
	}
}

// appendChunk writes: rows (u32), a byte that says whether weights follow (i64 each), then the columns: a byte that says
// whether a validity bitmap follows (u64 words), then the values: 8 bytes each for integers and floats, 1 for booleans,
// 16 for intervals, exact images for numerics; for bytes the end of each value (u32), then all of them.
func appendChunk(dst []byte, ch *delta.Chunk, types []sqltypes.Type) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, uint32(ch.Rows))
	dst = append(dst, byte(b2u(ch.Weights != nil)))
	for _, w := range ch.Weights {
		dst = le.AppendUint64(dst, uint64(w))
	}
	for c, t := range types {
		v := ch.Cols[c]
		dst = append(dst, byte(b2u(v.Valid != nil)))
		if v.Valid != nil {
			for _, w := range v.Valid[:(ch.Rows+63)/64] {
				dst = le.AppendUint64(dst, w)
			}
		}
		dst = appendValues(dst, v, t, ch.Rows)
	}
	return dst
}

func b2u(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

func appendValues(dst []byte, v *delta.Vec, t sqltypes.Type, n int) []byte {
	le := binary.LittleEndian
	switch t.Phys() {
	case sqltypes.PhysBool:
		for _, x := range v.Bools[:n] {
			dst = append(dst, b2u(x))
		}
	case sqltypes.PhysInt64:
		for _, x := range v.Ints[:n] {
			dst = le.AppendUint64(dst, uint64(x))
		}
	case sqltypes.PhysFloat64:
		for _, x := range v.Floats[:n] {
			dst = le.AppendUint64(dst, math.Float64bits(x))
		}
	case sqltypes.PhysInterval:
		for _, x := range v.Intervals[:n] {
			dst = le.AppendUint32(dst, uint32(x.Months))
			dst = le.AppendUint32(dst, uint32(x.Days))
			dst = le.AppendUint64(dst, uint64(x.Micros))
		}
	case sqltypes.PhysNumeric:
		for i := range n {
			if !v.IsNull(i) {
				dst = sqlio.AppendImage(dst, t, v.Decs[i])
			}
		}
	case sqltypes.PhysBytes:
		base := v.Offsets[0]
		for _, o := range v.Offsets[1 : n+1] {
			dst = le.AppendUint32(dst, uint32(o-base))
		}
		dst = append(dst, v.Data[base:v.Offsets[n]]...)
	}
	return dst
}

var errSpillCorrupt = errors.New("content is not what was written")

// spillReader takes a body apart; after the first error all reads yield zeros.
type spillReader struct {
	b   []byte
	err error
}

func (r *spillReader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.b) {
		r.err = errSpillCorrupt
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *spillReader) flag() bool {
	b := r.take(1)
	return len(b) == 1 && b[0] != 0
}

// words reads n numbers of eight bytes.
func words[T any](r *spillReader, n int, conv func(uint64) T) []T {
	b := r.take(8 * n)
	if b == nil {
		return nil
	}
	out := make([]T, n)
	for i := range out {
		out[i] = conv(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return out
}

func asInt(x uint64) int64   { return int64(x) }
func asUint(x uint64) uint64 { return x }

// decodeChunk reads what appendChunk wrote.
func decodeChunk(body []byte, types []sqltypes.Type) (*delta.Chunk, error) {
	r := &spillReader{b: body}
	head := r.take(4)
	if r.err != nil {
		return nil, r.err
	}
	ch := &delta.Chunk{Rows: int(binary.LittleEndian.Uint32(head))}
	if r.flag() {
		ch.Weights = words(r, ch.Rows, asInt)
	}
	for _, t := range types {
		v := &delta.Vec{Type: t}
		if r.flag() {
			v.Valid = words(r, (ch.Rows+63)/64, asUint)
		}
		decodeValues(r, v, ch.Rows)
		if r.err != nil {
			return nil, r.err
		}
		v.SetLen(ch.Rows)
		ch.Cols = append(ch.Cols, v)
	}
	return ch, r.err
}

func decodeValues(r *spillReader, v *delta.Vec, n int) {
	switch v.Type.Phys() {
	case sqltypes.PhysBool:
		b := r.take(n)
		v.Bools = make([]bool, 0, len(b))
		for _, x := range b {
			v.Bools = append(v.Bools, x != 0)
		}
	case sqltypes.PhysInt64:
		v.Ints = words(r, n, asInt)
	case sqltypes.PhysFloat64:
		v.Floats = words(r, n, math.Float64frombits)
	case sqltypes.PhysInterval:
		decodeIntervals(r, v, n)
	case sqltypes.PhysNumeric:
		decodeDecs(r, v, n)
	case sqltypes.PhysBytes:
		ends := r.take(4 * n)
		v.Offsets = make([]int32, 1, len(ends)/4+1)
		last := int32(0)
		for ; len(ends) > 0; ends = ends[4:] {
			o := int32(binary.LittleEndian.Uint32(ends))
			if o < last {
				r.err = errSpillCorrupt
				return
			}
			v.Offsets, last = append(v.Offsets, o), o
		}
		v.Data = r.take(int(last))
	}
}

func decodeIntervals(r *spillReader, v *delta.Vec, n int) {
	b := r.take(16 * n)
	for ; len(b) > 0; b = b[16:] {
		v.Intervals = append(v.Intervals, datetime.Interval{
			Months: int32(binary.LittleEndian.Uint32(b)),
			Days:   int32(binary.LittleEndian.Uint32(b[4:])),
			Micros: int64(binary.LittleEndian.Uint64(b[8:])),
		})
	}
}

func decodeDecs(r *spillReader, v *delta.Vec, n int) {
	into := &delta.Vec{Type: v.Type}
	v.SetLen(n)
	for i := range n {
		if r.err != nil {
			return
		}
		if v.Valid != nil && v.IsNull(i) {
			into.AppendNull()
			continue
		}
		d, rest, err := sqlio.DecodeImage(v.Type, r.b)
		if err != nil {
			r.err = err
			return
		}
		r.b = rest
		into.AppendDatum(d)
	}
	v.Decs = into.Decs
}

// partitions spreads rows over files by a hash of their keys.
type partitions struct {
	q     *query
	level int
	keys  *grouper // for its encoding only
	types []sqltypes.Type
	files [spillFanout]*spillFile
	sels  [spillFanout][]int32
}

func newPartitions(q *query, types []sqltypes.Type, cols []int, strict []bool, level int) *partitions {
	return &partitions{q: q, level: level, types: types, keys: newGrouper(types, cols, strict)}
}

// of is the partition of a row. A key that equals nothing may lie anywhere.
func (p *partitions) of(ch *delta.Chunk, i int) int {
	if !p.keys.encode(ch, i) {
		return 0
	}
	return int(key.Hash(p.keys.buf) >> (4 * p.level) % spillFanout)
}

// add spreads the rows of a chunk that count.
func (p *partitions) add(ch *delta.Chunk) error {
	for x := range p.sels {
		p.sels[x] = p.sels[x][:0]
	}
	for k := range ch.Len() {
		i := ch.Row(k)
		x := p.of(ch, i)
		p.sels[x] = append(p.sels[x], int32(i))
	}
	for x, sel := range p.sels {
		if len(sel) == 0 {
			continue
		}
		if err := p.file(x); err != nil {
			return err
		}
		if err := p.files[x].add(ch.WithSel(sel)); err != nil {
			return err
		}
	}
	return nil
}

// file makes sure that partition x has a file.
func (p *partitions) file(x int) (err error) {
	if p.files[x] == nil {
		p.files[x], err = newSpillFile(p.q, p.types)
	}
	return err
}

func (p *partitions) close() {
	if p == nil {
		return
	}
	for _, f := range p.files {
		f.Close()
	}
}
