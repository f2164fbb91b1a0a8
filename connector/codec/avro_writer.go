package codec

import (
	"encoding/binary"
	"math"
)

// The parts of Avro's binary encoding.

// appendAvroLong appends an int or long.
func appendAvroLong(dst []byte, x int64) []byte {
	return binary.AppendUvarint(dst, uint64(x)<<1^uint64(x>>63))
}

// appendAvroBytes appends a string or bytes.
func appendAvroBytes(dst, b []byte) []byte {
	return append(appendAvroLong(dst, int64(len(b))), b...)
}

// appendAvroFloat appends a float or double.
func appendAvroFloat(dst []byte, k avroKind, f float64) []byte {
	if k == avroFloat {
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(f)))
	}
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
}
