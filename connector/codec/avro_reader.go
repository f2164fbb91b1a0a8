package codec

import (
	"encoding/binary"
	"math"

	"github.com/millrace/millrace/internal/sqlerr"
)

// avroReader reads the parts of Avro's binary encoding, front to back.
type avroReader struct {
	b []byte
	i int
	// hollow counts the array elements that took no bytes: a few bytes could promise any number of them.
	hollow int
}

var (
	errAvroShort  = sqlerr.New(sqlerr.InvalidBinaryRepresentation, "Avro record ends in the middle of a value")
	errAvroVarint = sqlerr.New(sqlerr.InvalidBinaryRepresentation, "Avro record has a number of more than 64 bits")
	errAvroLength = sqlerr.New(sqlerr.InvalidBinaryRepresentation, "Avro record has a negative length")
	errAvroHollow = sqlerr.New(sqlerr.ProgramLimitExceeded, "Avro record has too many array elements without contents")
	errAvroDeep   = sqlerr.New(sqlerr.StatementTooComplex, "Avro record is nested too deeply")
)

// maxHollow bounds the elements without bytes in a record.
const maxHollow = 1 << 16

// long reads an int or long.
func (r *avroReader) long() (int64, error) {
	b := r.b[r.i:]
	if len(b) > 0 && b[0] < 0x80 {
		r.i++
		return int64(b[0]>>1) ^ -int64(b[0]&1), nil
	}
	var u uint64
	for k, c := range b {
		if k == 9 && c > 1 || k > 9 {
			return 0, errAvroVarint
		}
		u |= uint64(c&0x7f) << (7 * k)
		if c < 0x80 {
			r.i += k + 1
			return int64(u>>1) ^ -int64(u&1), nil
		}
	}
	return 0, errAvroShort
}

// bytes reads a length and that many bytes.
func (r *avroReader) bytes() ([]byte, error) {
	n, err := r.long()
	if err != nil {
		return nil, err
	}
	return r.take(n)
}

func (r *avroReader) take(n int64) ([]byte, error) {
	if n < 0 {
		return nil, errAvroLength
	}
	if n > int64(len(r.b)-r.i) {
		return nil, errAvroShort
	}
	b := r.b[r.i : r.i+int(n)]
	r.i += int(n)
	return b, nil
}

func (r *avroReader) boolean() (bool, error) {
	if r.i >= len(r.b) {
		return false, errAvroShort
	}
	c := r.b[r.i]
	r.i++
	if c > 1 {
		return false, sqlerr.New(sqlerr.InvalidBinaryRepresentation, "Avro record has the byte 0x%02x as a truth value", c)
	}
	return c == 1, nil
}

func (r *avroReader) float() (float64, error) {
	b, err := r.take(4)
	if err != nil {
		return 0, err
	}
	return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), nil
}

func (r *avroReader) double() (float64, error) {
	b, err := r.take(8)
	if err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
}

// branch reads the index of a union's branch.
func (r *avroReader) branch(n int) (int, error) {
	k, err := r.long()
	if err == nil && (k < 0 || k >= int64(n)) {
		err = sqlerr.New(sqlerr.InvalidBinaryRepresentation, "Avro record has branch %d of a union of %d", k, n)
	}
	return int(k), err
}

// symbol reads the index of an enum's symbol.
func (r *avroReader) symbol(symbols []string) (string, error) {
	k, err := r.long()
	if err != nil {
		return "", err
	}
	if k < 0 || k >= int64(len(symbols)) {
		return "", sqlerr.New(sqlerr.InvalidBinaryRepresentation, "Avro record has symbol %d of an enum of %d", k, len(symbols))
	}
	return symbols[k], nil
}

// block reads the head of a block of an array or map: how many items follow, 0 at the end. size is the block's
// length in bytes where it is given, else −1.
func (r *avroReader) block() (n, size int64, err error) {
	if n, err = r.long(); err != nil || n >= 0 {
		return n, -1, err
	}
	if n == math.MinInt64 {
		return 0, 0, errAvroLength
	}
	if size, err = r.long(); err == nil && size < 0 {
		err = errAvroLength
	}
	return -n, size, err
}

// each calls item for the items of an array or map.
func (r *avroReader) each(item func() error) error {
	for {
		n, _, err := r.block()
		if n == 0 || err != nil {
			return err
		}
		for range n {
			at := r.i
			if err := item(); err != nil {
				return err
			}
			if at == r.i {
				if r.hollow++; r.hollow > maxHollow {
					return errAvroHollow
				}
			}
		}
	}
}

// skip passes a value.
func (r *avroReader) skip(s *avroSchema, depth int) error {
	if depth > maxSchemaDepth {
		return errAvroDeep
	}
	var err error
	switch s.kind {
	case avroBoolean:
		_, err = r.take(1)
	case avroInt, avroLong, avroEnum:
		_, err = r.long()
	case avroFloat:
		_, err = r.take(4)
	case avroDouble:
		_, err = r.take(8)
	case avroBytes, avroString:
		_, err = r.bytes()
	case avroFixed:
		_, err = r.take(int64(s.size))
	case avroRecord:
		for i := range s.fields {
			if err = r.skip(s.fields[i].schema, depth+1); err != nil {
				return err
			}
		}
	case avroUnion:
		var k int
		if k, err = r.branch(len(s.union)); err == nil {
			err = r.skip(s.union[k], depth+1)
		}
	case avroArray, avroMap:
		err = r.skipItems(s, depth)
	}
	return err
}

func (r *avroReader) skipItems(s *avroSchema, depth int) error {
	for {
		n, size, err := r.block()
		if n == 0 || err != nil {
			return err
		}
		if size >= 0 {
			if _, err := r.take(size); err != nil {
				return err
			}
			continue
		}
		for range n {
			at := r.i
			if s.kind == avroMap {
				if _, err := r.bytes(); err != nil {
					return err
				}
			}
			if err := r.skip(s.items, depth+1); err != nil {
				return err
			}
			if at == r.i {
				if r.hollow++; r.hollow > maxHollow {
					return errAvroHollow
				}
			}
		}
	}
}
